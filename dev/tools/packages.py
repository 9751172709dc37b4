"""Install the packages of requirements.lock: `python dev/tools/packages.py`, run by the Python of a new environment.

dev/tools/venv.sh calls it before any package is installed, so it imports only the standard library. pip installs the
pinned uv, and uv installs the rest in seconds. uv does not read pip's settings. Those that say where packages are and
which hosts to trust are translated for uv. Settings that say where to install to, such as `user`, reach neither.
"""

import ast
import os
import re
import ssl
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LOCK = Path("requirements.lock")
# pip's settings, and the variable of uv with the same meaning.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
    "proxy": "ALL_PROXY",
    "no-index": "",
    "cache-dir": "",
    "no-cache-dir": "",
    "keyring-provider": "",
}
OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}  # of uv
UV_SETTINGS = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER"),
    *("UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_HTTP_", "UV_OFFLINE", "UV_CACHE_DIR", "UV_NO_CACHE", "UV_LINK_MODE"),
    *("UV_CONCURRENT_", "UV_COMPILE_BYTECODE", "UV_CONFIG_FILE", "UV_NO_CONFIG", "UV_CREDENTIALS_DIR"),
)
REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # of the library that pip uses; they take precedence over `cert`


def main() -> int:
    settings, base = pip_settings(dict(os.environ)), _with_cache(dict(os.environ))
    pin = re.search(r"^uv==.*?[^\\]$", LOCK.read_text(), re.DOTALL | re.MULTILINE)
    if not pin:
        sys.exit("requirements.lock has no uv. Add it to the extra dev in setup.cfg and run `make lock`.")
    uv, python = Path(sys.prefix) / "bin" / "uv", sys.executable
    with tempfile.TemporaryDirectory() as folder:
        only = Path(folder) / "uv.txt"
        only.write_text(pin[0])
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        _run("uv", [*pip, "-r", str(only)], for_pip(settings, base))
    flags = ["--no-index"] if settings.get("no-index", "").lower() in {"1", "true", "yes", "on"} else []
    sync = [str(uv), "pip", "sync", "-q", "--require-hashes", "--python", python, *flags, str(LOCK)]
    _run("the packages of requirements.lock", sync, for_uv(settings, base))
    (Path(sysconfig.get_path("purelib")) / "voucher-select.pth").write_text(f"{Path.cwd()}\n")
    return 0


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those of pip's settings that are in PIP_TO_UV, as pip finds them in its files and in the environment."""
    words = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(words, env=dict(environ), capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    named = {
        (section, "timeout" if name == "default-timeout" else name): ast.literal_eval(value)
        for section, name, value in found
    }
    settings = {
        name: named[section, name]
        for section in ("global", "install", ":env:")  # the later ones take precedence
        for name in PIP_TO_UV
        if (section, name) in named
    }
    settings = {name: value for name, value in settings.items() if value}
    bundles = (*(environ.get(name) for name in REQUESTS), settings.get("cert"), environ.get("SSL_CERT_FILE"))
    if bundle := next(filter(None, bundles), None):
        settings["cert"] = bundle
    return settings


def for_pip(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which pip has these settings and no others."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
    given = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    return {**kept, **given, "PIP_CONFIG_FILE": os.devnull}


def for_uv(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which uv has these settings too; what is set for uv itself takes precedence."""
    env = {name: value for name, value in environ.items() if not name.startswith("UV_") or name.startswith(UV_SETTINGS)}
    for name, value in dict(_translated(settings)).items():
        if name.startswith("UV_") and (env.get(name) or env.get(OLDER_NAMES.get(name, ""))):
            continue
        env[name] = value
    if "extra-index-url" in settings:  # pip takes the pinned version from whichever index has it
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR", "UV_NATIVE_TLS"} & env.keys() and _system_has_certificates():
        env.setdefault("UV_SYSTEM_CERTS", "1")  # as pip does since 24.2
    return env


def _translated(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        words = value.split()
        if name == "cert" and Path(value).is_dir():
            yield "SSL_CERT_DIR", value
        elif name == "proxy":
            address = value if "://" in value else f"http://{value}"
            yield from ((each, address) for each in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"))
        elif name == "find-links":  # pip ignores a folder that does not exist, uv does not
            yield PIP_TO_UV[name], ",".join(each for each in words if "://" in each or Path(each).exists())
        elif name == "keyring-provider":
            if value in {"import", "subprocess"}:
                yield "UV_KEYRING_PROVIDER", "subprocess"  # the only one that uv has
        elif PIP_TO_UV[name]:
            yield PIP_TO_UV[name], " ".join(words)


def _system_has_certificates() -> bool:
    """Return whether the system has certificates; without any, uv refuses to use the system's."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))


def _with_cache(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment, with a cache in the new environment's folder when the user's cannot be written."""
    try:
        cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        for each in (cache / "pip", cache / "uv"):
            each.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=each).close()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        environ["XDG_CACHE_HOME"] = str(Path(sys.prefix) / "cache")
    return environ


def _run(what: str, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
    began = time.monotonic()
    ended = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{ended.stdout}{ended.stderr}".strip())
    print(f"  {what:<76}{time.monotonic() - began:6.1f} s", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
