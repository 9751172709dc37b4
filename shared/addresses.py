"""How an address is shown to people: without anything in it that may be a secret.

Every address in a log, an error, a table, a page or an answer has passed through `redact`; nothing else prints one.
Database addresses are not shown at all: `postgres` names the variable that holds them.
"""

import re
from hashlib import sha256
from urllib.parse import urlsplit

HIDDEN = "..."  # ASCII: it is put on record in databases of any encoding
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)  # two characters or more: C:/ is a drive of Windows
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(:\d{1,5})?", re.IGNORECASE)
QUERY = re.compile(r"[?#;][\w.~%+-]+=.*")
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
S3 = re.compile("s3[an]?://", re.IGNORECASE)  # s3a and s3n are what Hadoop and Spark call it
LONGEST = 500
HIDDEN_PATH = re.compile(rf"/{re.escape(HIDDEN)}[0-9a-f]{{8}}")  # one that was shown before stays as it is


def redact(address: str) -> str:
    """Return the address without user names, passwords, queries, and, of a web address, its path.

    A secret may be in any of them: a signature in the query, a token in the path, a password that has a "/" in it.
    Two paths on one web server stay different: eight digits of the path's SHA-256 stand for it, so that a link that is
    signed anew keeps its name. Keys in S3 and names of files are shown whole.
    """
    address = "".join(char for char in address.strip() if char.isprintable())[:LONGEST]
    scheme = SCHEME.match(address)
    name = scheme[1].lower() if scheme else ""
    if name in {"http", "https", "tcp", "tls"}:
        return f"{name}://{_of_web(address)}"
    if name and name not in {"s3", "s3a", "s3n", "file"}:
        return f"{name}://{HIDDEN}"
    if (query := QUERY.search(address)) and "@" in query[0]:  # a password or a query, whichever: neither end is known
        return f"{name}://{HIDDEN}" if name else HIDDEN
    return QUERY.sub(f"?{HIDDEN}", _without_user(address))


def _of_web(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, path = parts.netloc.rpartition("@")[2], parts.path
    except ValueError:
        return HIDDEN
    if not HOST.fullmatch(host) or "@" in f"{path}{parts.query}{parts.fragment}":  # a password that was not encoded
        return HIDDEN
    digits = path[-8:] if HIDDEN_PATH.fullmatch(path) else sha256(path.encode()).hexdigest()[:8]
    return f"{host}/{HIDDEN}{digits}" if path.strip("/") else host


def _without_user(address: str) -> str:
    """The address without what stands before an "@", where that may be a user and a password."""
    scheme = match[0] if (match := S3.match(address)) else ""
    rest = address[len(scheme) :]
    before, at, after = rest.rpartition("@")
    no_bucket = bool(scheme) and not BUCKET.fullmatch(before.partition("/")[0])  # a key with a "/" in it, more likely
    if at and (":" in before or "//" in before or "/" not in before or no_bucket):
        return f"{scheme}{HIDDEN}@{after}"
    return address
