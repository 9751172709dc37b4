"""Installation of packages in a new environment: pip and uv find the same packages and trust the same certificates."""

import datetime
import functools
import hashlib
import http.server
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.tools import packages
from tests.conftest import ROOT

NAME = "tiny-1.0-py3-none-any.whl"
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "".join(f"tiny-1.0.dist-info/{name},,\n" for name in ("METADATA", "WHEEL", "RECORD")),
}
ELSEWHERE = "http://tiny.invalid"  # a host that only a proxy can reach


@dataclass(frozen=True)
class Index:
    """A package index over HTTPS, with a certificate signed by an authority that no machine trusts by default."""

    url: str
    authority: Path
    proxy: str  # the same index over HTTP, as a proxy for ELSEWHERE


class Handler(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(ELSEWHERE))

    def log_message(self, *_: object) -> None: ...


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create an authority's certificate, and a server's key with a certificate that it signed. Return both paths."""

    def sign(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, authority: bool) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, "Company")]
        built = x509.CertificateBuilder(*reversed(names), key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
            now + datetime.timedelta(days=1)
        )
        built = built.add_extension(x509.BasicConstraints(authority, None), critical=True)
        host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        built = built.add_extension(x509.SubjectAlternativeName([host]), critical=False)
        return built.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    company, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "company.pem").write_bytes(sign("Company", company, company, True))
    (folder / "server.pem").write_bytes(
        server.private_bytes(serialization.Encoding.PEM, *form) + sign("127.0.0.1", server, company, False)
    )
    return folder / "company.pem", folder / "server.pem"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    pages = folder / "pages" / "simple" / "tiny"
    pages.mkdir(parents=True)
    with zipfile.ZipFile(pages / NAME, "w") as wheel:
        for name, text in METADATA.items():
            wheel.writestr(f"tiny-1.0.dist-info/{name}", text)
    digest = hashlib.sha256((pages / NAME).read_bytes()).hexdigest()
    (pages / "index.html").write_text(f'<a href="{NAME}#sha256={digest}">{NAME}</a>')
    authority, key = certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(key)
    handler = functools.partial(Handler, directory=str(folder / "pages"))
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    servers[0].socket = tls.wrap_socket(servers[0].socket, server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    secure, plain = (server.server_address[1] for server in servers)
    yield Index(f"https://127.0.0.1:{secure}/simple/", authority, f"127.0.0.1:{plain}")
    for server in servers:
        server.shutdown()
        server.server_close()


def find_tiny(given: dict[str, str]) -> tuple[bool, bool]:
    """Return whether pip finds the package `tiny`, and whether uv does, with these environment variables."""
    shell = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"} | given
    settings = packages.pip_settings(shell)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "--dry-run", "--no-deps", "tiny"]
    uv = [Path(sys.prefix, "bin", "uv"), "pip", "install", "-q", "--no-cache", "--dry-run", "tiny"]
    found = [
        subprocess.run(command, env=env, capture_output=True, text=True)
        for command, env in (
            (pip, packages.for_pip(settings, shell)),
            ([*uv, "--python", sys.executable], packages.for_uv(settings, shell)),
        )
    ]
    print(*(each.stderr for each in found))
    return found[0].returncode == 0, found[1].returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("lines", "given"),
    [
        ("index-url = {index.url}\ntrusted-host = 127.0.0.1\n    other.invalid", {}),
        ("cert = {index.authority}\nextra-index-url = {index.url}\nindex-url = file:///nonexistent", {}),
        ("cert = /nonexistent", {"PIP_CERT": "{index.authority}", "PIP_INDEX_URL": "{index.url}"}),
        ("index-url = {index.url}", {"REQUESTS_CA_BUNDLE": "{index.authority}", "SSL_CERT_FILE": "/nonexistent"}),
        ("index-url = {index.url}\ncert =", {"SSL_CERT_FILE": "{index.authority}"}),
        ("index-url = http://tiny.invalid/simple/\ntrusted-host = tiny.invalid\nproxy = {index.proxy}", {}),
        ("no-index = yes\nfind-links = {index.authority.parent}/pages/simple/tiny /nonexistent", {}),
        (
            "index-url = {index.url}\ncert = {index.authority}\nuser = yes\n[install]\ntarget = /nonexistent",
            {"PIP_CONSTRAINT": "/nonexistent", "PIP_NO_BINARY": ":all:", "UV_SYSTEM_PYTHON": "1", "UV_PYTHON": "2.7",
             "UV_OVERRIDE": "/nonexistent", "UV_NO_BINARY": "1", "UV_TARGET": "/nonexistent"},
        ),
    ],
    ids=["trusted host", "extra index", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "proxy", "links", "cert, odd"],
)  # fmt: skip
def test_uv_finds_and_trusts_what_pip_does(index: Index, tmp_path: Path, lines: str, given: dict[str, str]) -> None:
    """`uv` finds and trusts what pip does, by pip's settings in a file or the environment, except where to install."""
    (tmp_path / "pip.conf").write_text(f"[global]\n{lines.format(index=index)}\n")
    shell = {name: value.format(index=index) for name, value in given.items()}

    assert find_tiny({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), **shell}) == (True, True)


@pytest.mark.long
def test_an_unknown_authority_is_not_trusted(index: Index) -> None:
    """Without a setting that trusts the authority, neither pip nor uv installs packages from the index."""
    assert find_tiny({"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.url}) == (False, False)


@pytest.mark.long
def test_what_is_set_for_uv_counts_first(index: Index) -> None:
    """An index that is set for uv takes precedence over pip's."""
    own = {"UV_DEFAULT_INDEX": index.url, "SSL_CERT_FILE": str(index.authority)}

    assert find_tiny({"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "file:///nonexistent", **own}) == (False, True)


def lock_of_uv(folder: Path) -> str:
    """Pack the installed uv into a wheel in the folder, and return its line for a lock file."""
    uv = distribution("uv")
    path = folder / f"uv-{uv.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in uv.files or ():
            scripts = f"uv-{uv.version}.data/scripts" if file.parent.name == "bin" else file.parent
            wheel.write(Path(str(file.locate())), f"{scripts}/{file.name}")
    return f"uv=={uv.version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.long
def test_an_environment_that_was_broken_off_is_made_anew(tmp_path: Path) -> None:
    """An environment that is not marked as ready is created anew, even if the cache can't be written."""
    home, python = tmp_path / ".venv", Path(sys.executable).resolve()
    subprocess.run([python, "-m", "venv", "--without-pip", home], check=True)
    (home / "bin" / "uv").write_text("half a program")
    (home / "half a package").touch()
    (tmp_path / "requirements.lock").write_text(lock_of_uv(tmp_path))
    (tmp_path / "dev").symlink_to(ROOT / "dev")
    shell = {
        "PATH": os.environ["PATH"],
        "XDG_CACHE_HOME": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }

    subprocess.run(["sh", "dev/tools/venv.sh", ".venv", python], cwd=tmp_path, env=shell, check=True)

    assert subprocess.run([home / "bin" / "uv", "--version"]).returncode == 0
    assert not (home / "half a package").exists()
