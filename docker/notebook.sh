#!/bin/sh
# Starts Jupyter; its token is JUPYTER_TOKEN, which Jupyter reads by itself.
case $(printf %s "${VOUCHER_ENV:-}" | tr -d '[:space:]' | tr '[:upper:]' '[:lower:]')-$JUPYTER_TOKEN in
    production-*first-look*)
        echo "error: JUPYTER_TOKEN is the first look's, which VOUCHER_ENV=production refuses; set your own" >&2
        exit 1
        ;;
    *first-look*) echo "JUPYTER_TOKEN is the first look's, which everyone knows: set your own before others can reach this" >&2 ;;
esac
exec jupyter lab --ServerApp.ip=0.0.0.0 --ServerApp.allow_root=True --ServerApp.open_browser=False \
    --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate /opt/voucher/notebooks
