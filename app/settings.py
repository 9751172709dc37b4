"""The app's settings, which `create_app` reads once from environment variables. Tests pass the values themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from app.places.territories import is_currency_code
from shared import environment
from shared.addresses import redact
from shared.environment import DEFAULT_SECRET, SettingsError, is_production
from shared.postgres import Address

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024  # of /voucher; a customer takes about 200 bytes
MAX_CUSTOMERS = 10_000  # in one request to /vouchers
MAX_BULK_BYTES = 4 * 1024 * 1024  # of /vouchers; 10,000 customers take 2 MB
BULK_CALLS = 8  # requests to /vouchers that a worker holds in memory at once
BULK_WAIT_SECONDS = 30.0  # how long further requests wait, with unread bodies; most clients time out after that
MAX_CAMPAIGN_BYTES = 1024 * 1024 * 1024  # of a file of customers, and of its answer; a million customers take 100 MB
CAMPAIGNS = 2  # files that a worker answers or sends at once; each takes a thread and disk space for its answer
MIN_KEY_LENGTH = 16  # characters; `openssl rand -hex 16` prints 32
KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # a bearer token: RFC 6750
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII)
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
REMEDY = "`make up` writes both to .local/env; run `. .local/env` to set them."


@dataclass(frozen=True)
class Settings:
    database_url: Address
    max_age_hours: float = 36  # the published run is stale if its source was last checked longer ago
    poll_seconds: float = 0.25  # a new run must be served within a second
    downloads: int = 4  # at once in each worker; each takes a thread and up to 6 MB, plus the kernel's buffer
    longest_download_seconds: float = 3600  # a million rows are 80 MB: eleven minutes at 1 Mbit/s
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # empty: no key is required
    cors_origins: tuple[str, ...] = ()  # origins whose pages may call the API
    hosts: tuple[str, ...] = ()  # public names of the service; only needed without keys
    trusted_proxies: int = 0  # number of proxies in front whose X-Forwarded- headers are trusted
    airflow_url: str = ""  # for the page's links to Airflow; empty: no links
    currency: str = ""  # ISO 4217 code of all amounts; empty: each country's own
    workers: int = 2  # processes; read by `server.workers`

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings of these environment variables. Raises SettingsError."""
        return cls(
            database_url=_database_url(environ),
            max_age_hours=environment.hours(environ, "VOUCHER_MAX_AGE_HOURS", 36),
            api_keys=_keys(environ, "VOUCHER_API_KEYS"),
            cors_origins=_origins(environ, "VOUCHER_CORS_ORIGINS"),
            hosts=_hosts(environ, "VOUCHER_HOSTS"),
            trusted_proxies=environment.whole(environ, "VOUCHER_TRUSTED_PROXIES", 0, least=0, most=9),
            airflow_url=_web_address(environ, "VOUCHER_AIRFLOW_URL"),
            currency=_currency(environ, "VOUCHER_CURRENCY"),
            workers=environment.whole(environ, "VOUCHER_WORKERS", 2, least=1),
        )


def database_url(text: str) -> Address:
    """Parse the address of the API's database. Raises SettingsError."""
    return Address.read(text, "API_DATABASE_URL")


def _database_url(environ: Mapping[str, str]) -> Address:
    name = "API_DATABASE_URL"
    if not environment.text(environ, name):
        if is_production(environ):
            raise SettingsError(
                f"{name} is not set, but VOUCHER_ENV=production requires it. Set it to the address with the API's role."
            )
        if not environment.text(environ, "DATABASE_URL"):
            raise SettingsError(f"Neither {name} nor DATABASE_URL is set. {REMEDY}")
        log.warning(f"{name} is not set; using DATABASE_URL with the role of the tables' owner")
        name = "DATABASE_URL"
    if DEFAULT_SECRET in environ[name]:
        public = f"{name} contains a default password from this repository"
        if is_production(environ):
            raise SettingsError(f"{public}, which VOUCHER_ENV=production does not allow. Set your own.")
        log.warning(f"{public}; set your own before others can reach this installation")
    return Address.read(environ[name], name)


def _list(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Return the comma-separated values. Raises SettingsError if the variable is set but has no value, such as ","."""
    text = environ.get(name, "")
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if text and not found:
        raise SettingsError(f"{name} is set, but has no value. Set a value or unset it.")
    return found


def _keys(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    keys = _list(environ, name)
    for place, key in enumerate(keys, start=1):
        which = f"{name}: key {place} of {len(keys)}"
        if len(key) < MIN_KEY_LENGTH:
            raise SettingsError(
                f"{which} has fewer than {MIN_KEY_LENGTH} characters. Generate one with `openssl rand -hex 16`."
            )
        if not KEY.fullmatch(key):
            raise SettingsError(f"{which} is not a bearer token. Use only letters, digits and the characters -._~+/.")
    return keys


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = _list(environ, name)
    for origin in origins:
        if origin == "*":
            raise SettingsError(f"{name}=* would allow every web site. List each origin.")
        if not ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{name}: {redact(origin)} is not an origin. Write it in lower case and without a path, such as "
                "https://shop.example."
            )
    return origins


def _hosts(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _list(environ, name))
    for host in hosts:
        if not HOST.fullmatch(host):
            raise SettingsError(
                f"{name}: {redact(host)} is not a host name. Write it without a port, such as vouchers.example."
            )
    return hosts


def _currency(environ: Mapping[str, str], name: str) -> str:
    code = environment.text(environ, name)
    if code and not is_currency_code(code):
        raise SettingsError(f"{name} is {code!r}, but must be an ISO 4217 code in capital letters, such as EUR or PEN.")
    return code


def _web_address(environ: Mapping[str, str], name: str) -> str:
    """Return the URL without a slash at its end, so that paths can be appended."""
    address = environ.get(name, "")
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if address and not (known and address.isprintable() and not set(address) & set(" ?#@")):
        raise SettingsError(f"{name} is not a URL such as https://airflow.example or http://localhost:8080.")
    return address.rstrip("/")
