"""What the app takes from its environment, read once by create_app. Tests pass the values themselves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from shared import environment
from shared.addresses import redact
from shared.environment import DEFAULT_SECRET, SettingsError, is_production
from shared.postgres import Address

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024  # of /voucher; a customer takes 200
MAX_CUSTOMERS = 10_000  # in a call of /vouchers
MAX_BULK_BYTES = 4 * 1024 * 1024  # of /vouchers; 10,000 customers take 2 MB
BULK_CALLS = 8  # of /vouchers whose bodies a worker holds at once, so that its memory has a bound
BULK_PATIENCE = 30.0  # seconds for which one more waits, its body unread; most clients wait as long themselves
SHORTEST_KEY = 16  # characters; `openssl rand -hex 16` makes 32
KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what a bearer token may be made of: RFC 6750
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII)
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
WAY_OUT = "`make up` writes .local/env, which sets both: source it by `. .local/env`."


@dataclass(frozen=True)
class Settings:
    database_url: Address
    max_age_hours: float = 36  # a published run checked longer ago than this is not fresh
    poll_seconds: float = 0.25  # a new run has to be served within a second
    downloads: int = 4  # at once in each worker: each takes a thread and up to 6 MB, the kernel's buffer aside
    longest_download_seconds: float = 3600  # a million rows are 80 MB: at 1 Mbit/s, eleven minutes
    api_keys: tuple[str, ...] = field(default=(), repr=False)  # none: everyone may ask
    cors_origins: tuple[str, ...] = ()  # whose pages may ask from a browser
    hosts: tuple[str, ...] = ()  # public names of the service; needed only while there are no keys
    trusted_proxies: int = 0  # how many stand in front, whose X-Forwarded- headers tell what the client asked
    airflow_url: str = ""  # where the page's links to Airflow lead; empty: it has none
    workers: int = 2  # processes; read by `server.workers`

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError."""
        return cls(
            database_url=_database_url(environ),
            max_age_hours=environment.hours(environ, "VOUCHER_MAX_AGE_HOURS", 36),
            api_keys=_keys(environ, "VOUCHER_API_KEYS"),
            cors_origins=_origins(environ, "VOUCHER_CORS_ORIGINS"),
            hosts=_hosts(environ, "VOUCHER_HOSTS"),
            trusted_proxies=environment.whole(environ, "VOUCHER_TRUSTED_PROXIES", 0, least=0, most=9),
            airflow_url=_web_address(environ, "VOUCHER_AIRFLOW_URL"),
            workers=environment.whole(environ, "VOUCHER_WORKERS", 2, least=1),
        )


def database_url(text: str) -> Address:
    """Read the address of the API's database. Raises SettingsError."""
    return Address.read(text, "API_DATABASE_URL")


def _database_url(environ: Mapping[str, str]) -> Address:
    name = "API_DATABASE_URL"
    if not environment.text(environ, name):
        if is_production(environ):
            raise SettingsError(
                f"{name} is not set, and VOUCHER_ENV=production allows no fallback. Set it to the API's role."
            )
        if not environment.text(environ, "DATABASE_URL"):
            raise SettingsError(f"Neither {name} nor DATABASE_URL is set. {WAY_OUT}")
        log.warning(f"{name} is not set: using DATABASE_URL, the role of the owner")
        name = "DATABASE_URL"
    if DEFAULT_SECRET in environ[name]:
        public = f"{name} contains a default password from this repository"
        if is_production(environ):
            raise SettingsError(f"{public}, which VOUCHER_ENV=production does not allow. Set your own.")
        log.warning(f"{public}; set your own before others can reach this installation")
    return Address.read(environ[name], name)


def _list(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What stands between commas. Set, and yet without content, is a mistake: it must not pass for unset."""
    text = environ.get(name, "")
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if text and not found:
        raise SettingsError(f"{name} is set, but there is nothing in it. Leave it unset, or fill it.")
    return found


def _keys(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    keys = _list(environ, name)
    for place, key in enumerate(keys, start=1):
        which = f"{name}: key {place} of {len(keys)}"
        if len(key) < SHORTEST_KEY:
            raise SettingsError(f"{which} has fewer than {SHORTEST_KEY} characters. `openssl rand -hex 16` makes one.")
        if not KEY.fullmatch(key):
            raise SettingsError(f"{which} has a character that no bearer token may have: letters, digits, -._~+/ do.")
    return keys


def _origins(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    origins = _list(environ, name)
    for origin in origins:
        if origin == "*":
            raise SettingsError(f"{name}=* would let whatever page a colleague opens ask. Name each origin.")
        if not ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{name}: {redact(origin)} is no origin like https://shop.example, in small letters, no path."
            )
    return origins


def _hosts(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _list(environ, name))
    for host in hosts:
        if not HOST.fullmatch(host):
            raise SettingsError(f"{name}: {redact(host)} is not a host's name like vouchers.example, without a port.")
    return hosts


def _web_address(environ: Mapping[str, str], name: str) -> str:
    """Without a slash at its end, so that paths can be added."""
    address = environ.get(name, "")
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if address and not (known and address.isprintable() and not set(address) & set(" ?#@")):
        raise SettingsError(f"{name} is no web address like https://airflow.example or http://localhost:8080.")
    return address.rstrip("/")
