#!/bin/sh
# Start Jupyter in the folder that holds notebooks/ and pipeline/. Jupyter itself reads the token from JUPYTER_TOKEN.
case $(printf %s "${VOUCHER_ENV:-}" | tr -d '[:space:]' | tr '[:upper:]' '[:lower:]')-$JUPYTER_TOKEN in
    production-*first-look*)
        echo "error: JUPYTER_TOKEN contains a default password from this repository, which VOUCHER_ENV=production does" \
            "not allow. Set your own." >&2
        exit 1
        ;;
    *first-look*)
        echo "JUPYTER_TOKEN contains a default password from this repository; set your own before others can reach" \
            "this installation" >&2
        ;;
esac
for path in notebooks notebooks/*.ipynb pipeline/rules.toml pipeline/segments.toml; do
    if [ ! -w "$path" ]; then
        echo "error: $path cannot be written by user $(id -u), so Jupyter could not save it; add this line to .env and" \
            "start the notebook again: NOTEBOOK_USER=$(stat -c %u:%g "$path")" >&2
        exit 1
    fi
done
exec jupyter lab --ServerApp.ip=0.0.0.0 --ServerApp.allow_root=True --ServerApp.open_browser=False \
    --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate "$PWD/notebooks"
