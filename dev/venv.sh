#!/bin/sh
# Makes the Python environment of the lock file: sh dev/venv.sh FOLDER [PYTHON]. Called by make.
set -eu
venv=$1
wanted=${2:-}
unset PYTHONDONTWRITEBYTECODE
seconds() { date +%s; }
step() { printf '  %-76s%6s s\n' "$1" "$(($(seconds) - began))"; began=$(seconds); }
began=$(seconds)

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }
version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo "not there"; }

case $wanted in
    "") candidates="python3 python3.13 python3.12 python3.11" ;;
    [0-9]*) candidates="python$wanted $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$wanted".*/bin/python 2>/dev/null || true)" ;;
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

if ! suits "$venv/bin/python"; then
    "$python" -m venv --clear "$venv"
    step "$venv with Python $(version "$python")"
fi
# The lock file's own uv, checked by its hashes; it installs the rest in seconds.
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
    awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock >"$venv/uv.txt"
    [ -s "$venv/uv.txt" ] || { echo "requirements.lock names no uv. Put it into setup.cfg's extra dev: make lock" >&2; exit 1; }
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$venv/uv.txt"
    step "uv"
fi
index=$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)
[ -z "${PIP_INDEX_URL:-$index}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$index}}"
"$venv/bin/uv" pip sync -q --require-hashes --python "$venv/bin/python" requirements.lock
"$venv/bin/python" -c 'import os, sysconfig
with open(os.path.join(sysconfig.get_path("purelib"), "voucher-select.pth"), "w") as path: path.write(os.getcwd() + "\n")'
step "the packages of requirements.lock"
