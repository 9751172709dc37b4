"""Addresses that contain a secret, and keys that are one, well-formed and malformed."""

import base64
import random
import string
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import quote, urlsplit

from hypothesis import strategies as st

from proofs.secrets.targets import Targets

DATABASES = ("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL")
SOURCES = ("VOUCHER_SOURCE", "VOUCHER_ROWS", "VOUCHER_DASK")
NOTICES = (NOTIFY_URL, NOTIFY_SECRET) = ("VOUCHER_NOTIFY_URL", "VOUCHER_NOTIFY_SECRET")
ALL = (*DATABASES, *SOURCES, *NOTICES)
PIECE = 6  # characters of a secret that must not be seen together
SPECIAL = (
    "",
    "@",
    "/",
    ":",
    "%",
    "?",
    "#",
    "&",
    "=",
    "@/",
    "%4",
    " ",
    "é",
    "'",
    '"',
    "\\",
    "${",
    "@127.0.0.1/",
    "%2F",
    "+",
)
SCHEMES = ("postgresql", "postgres", "POSTGRESQL", "postgresql+psycopg2", "postgresql+asyncpg", "mysql", " postgresql")
PARAMETERS = (
    *("password", "application_name", "options", "sslpassword", "passfile", "sslcert", "sslmode", "connect_timeout"),
    *("user", "dbname", "target_session_attrs", "token", "krbsrvname", "fallback_application_name"),
)


@dataclass(frozen=True)
class Case:
    """A variable whose address or key has the secret at `where`; with another `day`, a run gets another id."""

    variable: str
    where: str
    address: str
    secret: str
    command: str  # plan or run
    day: date


def _secret(seed: int, special: str) -> str:
    letters = random.Random(seed)
    first, second = ("".join(letters.choices(string.ascii_letters + string.digits, k=9)) for _ in range(2))
    return f"{first}{special}{second}"


@st.composite
def cases(draw: st.DrawFn, targets: Targets, variables: tuple[str, ...] = ALL) -> Case:
    """Draw a case for one of the variables."""
    variable = draw(st.sampled_from(variables))
    secret = _secret(draw(st.integers(0, 2**32)), draw(st.sampled_from(SPECIAL)))
    if variable in DATABASES:
        where, address = draw(_database(targets, variable, secret))
    elif variable == NOTIFY_SECRET:
        where, secret, address = draw(_key(secret))
    else:
        where, address = draw(_source(targets, variable, secret))
    command = draw(st.sampled_from(("plan", "run")))
    return Case(
        variable, where, address, secret, command, date(2000, 1, 1) + timedelta(days=draw(st.integers(0, 9000)))
    )


@st.composite
def _key(draw: st.DrawFn, secret: str) -> tuple[str, str, str]:
    """Draw a key that is valid, or that is too short, has no prefix or is no base64; and what of it is secret."""
    encoded = base64.b64encode(secret.encode().ljust(32, b"x")[: draw(st.sampled_from((10, 32)))]).decode()
    text = draw(st.sampled_from((encoded, encoded, secret)))
    return "key", text, draw(st.sampled_from((f"whsec_{text}", f"whsec_{text}", text, f'"whsec_{text}"')))


@st.composite
def _database(draw: st.DrawFn, targets: Targets, variable: str, secret: str) -> tuple[str, str]:
    url = urlsplit(
        {"DATABASE_URL": targets.owner, "PIPELINE_DATABASE_URL": targets.pipeline}.get(variable, targets.api)
    )
    parts = {"user": url.username, "password": url.password, "path": url.path[1:], "query": ""}
    where = draw(st.sampled_from(tuple(parts)))
    text = quote(secret, safe="") if draw(st.booleans()) else secret
    parts[where] = f"?{draw(st.sampled_from((*PARAMETERS, text)))}={text}" if where == "query" else text
    hosts = (
        "127.0.0.1:1",
        f"127.0.0.1:{url.port}",
        f"127.0.0.1:1,127.0.0.1:{url.port}",
        "[::1]:1",
        "127.0.0.1:${{PORT}}",
    )
    host = draw(st.sampled_from(hosts))
    address = f"{draw(st.sampled_from(SCHEMES))}://{{user}}:{{password}}@{host}/{{path}}{{query}}".format(**parts)
    pairs = "host=127.0.0.1 port=1 user={user} password={password} dbname={path} {query}".format(**parts)
    return where, draw(
        st.sampled_from(
            (
                *(address, address, address, f'"{address}"', f"{address}\n", f"{address}@x", pairs, text),
                *(address.replace("@", "", 1), address.replace("://", ":/"), address.partition("://")[2]),
                address.replace("://", "://x@"),
            )
        )
    )


@st.composite
def _source(draw: st.DrawFn, targets: Targets, variable: str, secret: str) -> tuple[str, str]:
    text = quote(secret, safe="") if draw(st.booleans()) else secret.replace(" ", "").replace("\\", "")
    web = draw(st.sampled_from((f"127.0.0.1:{targets.web}", f"127.0.0.1:{targets.web}", "127.0.0.1:1")))
    forms = {
        "user": (
            f"http://{text}@{web}/h.parquet",
            f"s3://{text}@{targets.bucket}/h.parquet",
            f"tcp://{text}@127.0.0.1:1",
        ),
        "password": (
            *(f"http://u:{text}@{web}/h.parquet", f"s3://K:{text}@{targets.bucket}/h/", f"S3://K:{text}@b/h.parquet"),
            *(f"tcp://u:{text}@127.0.0.1:1", f"tls://u:{text}@h", f"u:{text}@127.0.0.1:1", f"ftp://u:{text}@h/x"),
        ),
        "query": (
            *(
                f"http://{web}/h.parquet?X-Amz-Signature={text}",
                f"http://{web}/?{text}",
                f"s3://b/h.parquet?sig={text}",
            ),
            *(f"tcp://127.0.0.1:1/?k={text}", f"http://{web}/h.parquet#{text}"),
        ),
        "path": (f"http://{web}/{text}/h.parquet", f"tcp://127.0.0.1:1/{text}", f"az://account/{text}"),
    }
    where = draw(st.sampled_from(tuple(forms)))
    address = draw(st.sampled_from(forms[where]))
    return where, draw(st.sampled_from((address, address, f'"{address}"', f" {address}\n")))
