"""Redact addresses before they are displayed or stored, because they may contain secrets.

Every address in a log, an error, a table, a page or a response has passed through `redact`. Database addresses are
never displayed: messages name the variable that holds them (see `postgres`).
"""

import re
from hashlib import sha256
from urllib.parse import urlsplit

HIDDEN = "..."  # ASCII, because it is stored in databases of any encoding
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # two characters or more, because C:/ is a Windows drive
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(:\d{1,5})?", re.IGNORECASE)
QUERY = re.compile(r"[?#;][\w.~%+-]+=.*")
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
S3 = re.compile("s3[an]?://", re.IGNORECASE)  # Hadoop and Spark call it s3a and s3n
MAX_LENGTH = 500
HIDDEN_PATH = re.compile(rf"/{re.escape(HIDDEN)}[0-9a-f]{{8}}")  # a redacted path is not redacted again


def redact(address: str) -> str:
    """Return the address without user names, passwords and queries; for a web address, also without its path.

    Any of these may contain a secret: a signature in the query, a token in the path, a password with a "/". Eight
    digits of the path's SHA-256 replace it, so that paths on one web server stay different, and a link that is signed
    again keeps its name. S3 keys and file names are kept.
    """
    address = "".join(char for char in address.strip() if char.isprintable())[:MAX_LENGTH]
    scheme = SCHEME.match(address)
    name = scheme[1].lower() if scheme else ""
    if name in {"http", "https", "tcp", "tls"}:
        return f"{name}://{_of_web(address)}"
    if name and name not in {"s3", "s3a", "s3n", "file"}:
        return f"{name}://{HIDDEN}"
    if (query := QUERY.search(address)) and "@" in query[0]:  # a password or a query: its end is unknown
        return f"{name}://{HIDDEN}" if name else HIDDEN
    return QUERY.sub(f"?{HIDDEN}", _without_user(address))


def _of_web(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, path = parts.netloc.rpartition("@")[2], parts.path
    except ValueError:
        return HIDDEN
    if not HOST.fullmatch(host) or "@" in f"{path}{parts.query}{parts.fragment}":  # a password that is not encoded
        return HIDDEN
    digits = path[-8:] if HIDDEN_PATH.fullmatch(path) else sha256(path.encode()).hexdigest()[:8]
    return f"{host}/{HIDDEN}{digits}" if path.strip("/") else host


def _without_user(address: str) -> str:
    """Return the address without the part before an "@", if it may be a user and a password."""
    scheme = match[0] if (match := S3.match(address)) else ""
    rest = address[len(scheme) :]
    before, at, after = rest.rpartition("@")
    no_bucket = bool(scheme) and not BUCKET.fullmatch(before.partition("/")[0])  # probably a secret key with a "/"
    if at and (":" in before or "//" in before or "/" not in before or no_bucket):
        return f"{scheme}{HIDDEN}@{after}"
    return address
