#!/bin/sh
# Create the Python environment of the lock file: sh dev/tools/venv.sh FOLDER [PYTHON]. Called by make.
set -eu
venv=$1
wanted=${2:-}

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo "not there"; }

case $wanted in
    "") candidates="python3 python3.13 python3.12 python3.11" ;;
    [0-9]*) candidates="python$wanted $(ls -d "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$wanted".*/bin/python 2>/dev/null || true)" ;;
    *) candidates=$wanted ;;
esac
python="" found=""
for candidate in $candidates; do
    found="$found
    $candidate: $(version "$candidate")"
    suits "$candidate" || continue
    python=$candidate
    "$python" -c 'import ensurepip, venv' 2>/dev/null && break
done
if [ -z "$python" ]; then
    echo "No Python from 3.11 to 3.13 here. Found:$found" >&2
    echo "Install one, and name it if it is not on the PATH: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python can't make environments: its module ensurepip is missing. On Debian and Ubuntu:" >&2
    echo "    apt install python$minor-venv" >&2
    exit 1
fi

# make writes .ready when all is installed. Without it something was broken off, maybe half a package: begin anew.
if [ ! -e "$venv/.ready" ] || ! suits "$venv/bin/python"; then
    began=$(date +%s)
    "$python" -c 'import runpy, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
runpy.run_module("venv", run_name="__main__", alter_sys=True)' --clear "$venv"
    printf '  %-76s%6s s\n' "$venv with Python $(version "$python")" "$(($(date +%s) - began)).0"
fi
rm -f "$venv/.ready"
"$venv/bin/python" dev/tools/packages.py
