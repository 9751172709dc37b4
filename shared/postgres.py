"""Parse addresses of Postgres and connect to it, for the pipeline, the migrations and the service.

No part of an address is ever displayed: messages name the variable that holds it. If an address is mistyped, even its
host, role or database may contain a secret.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2.extensions import parse_dsn

from shared import environment
from shared.addresses import HIDDEN
from shared.environment import SettingsError

URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(.*)", re.IGNORECASE)  # postgresql+psycopg2:// is SQLAlchemy's notation
PAIRS = re.compile(r"\w+\s*=")  # host=… dbname=…
HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9._])?", re.IGNORECASE)
FORM = "postgresql://role:password@host:port/database"
ENCODE = "within its parts, write % as %25, @ as %40, / as %2F, : as %3A and ? as %3F"
CONNECT_SECONDS = 10
COMMON = {"localhost", "postgres", "voucher", "voucher_pipeline", "voucher_api"}  # names that are not secret


@dataclass(frozen=True)
class Address:
    """A database address. `variable` is its name in messages, `parameters` are libpq's connection parameters."""

    variable: str
    parameters: Mapping[str, str] = field(repr=False, hash=False)

    @classmethod
    def read(cls, text: str, variable: str = "the database's address") -> "Address":
        """Parse a URL or `keyword=value` pairs, as libpq does.

        Raises SettingsError, whose message shows no part of the text.
        """
        text = environment.text({variable: text}, variable)
        parameters, fault = _parameters(text)
        if fault:
            raise SettingsError(f"{variable} is not {FORM}: {fault}; {ENCODE}")
        return cls(variable, parameters)

    @property
    def username(self) -> str:
        """The role; "" if libpq chooses it."""
        return self.parameters.get("user", "")

    @property
    def password(self) -> str | None:
        """The password; None if libpq finds it."""
        return self.parameters.get("password")

    def for_role(self, other: "Address") -> "Address":
        """Return this address with the role and password of another one."""
        role = {"user": other.username, "password": other.password or ""}
        return replace(self, variable=other.variable, parameters={**self.parameters, **role})

    def redacted(self, text: str) -> str:
        """Return the text with all parts of this address removed."""
        hidden = {value for value in self.parameters.values() if value.strip() and value not in COMMON}
        for value in sorted(hidden | {quote(value, safe="") for value in hidden}, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)" if len(value) < 6 else re.escape(value), HIDDEN, text)
        return text


def connect(address: Address | str, **parameters: Any) -> Any:
    """Connect with psycopg2. Text is UTF-8, whatever the server, the role and PGCLIENTENCODING say.

    `parameters` are defaults that the address overrides. The start-up parameter `options` is only sent if the address
    has it, because PgBouncer, RDS Proxy and Neon reject it; settings are made with SET instead. Raises psycopg2.Error.
    """
    address = Address.read(address) if isinstance(address, str) else address
    wanted = {"connect_timeout": CONNECT_SECONDS, **parameters, **address.parameters, "client_encoding": "UTF8"}
    return psycopg2.connect(**wanted)


def settings(address: Address | str, connection: Any, wanted: Mapping[str, str], command: str = "SET LOCAL") -> str:
    """Return SQL that applies the settings which this server knows. A timeout in the address takes precedence."""
    options = "" if isinstance(address, str) else address.parameters.get("options", "").replace("-", "_")
    newest = {"transaction_timeout": 170000}
    return ";".join(
        f"{command} {name} = '{value}'"
        for name, value in wanted.items()
        if not (name.endswith("timeout") and name in options) and connection.info.server_version >= newest.get(name, 0)
    )


def _parameters(text: str) -> tuple[dict[str, str], str]:
    """Return libpq's parameters and "", or nothing and what is wrong with the text."""
    if not text.isprintable():
        return {}, "it has a character that cannot be printed"
    if url := URL.fullmatch(text):
        text = f"postgresql://{url[1]}"
        if fault := _fault_of_url(url[1]):
            return {}, fault
    elif not PAIRS.match(text):
        return {}, "it has another form"
    try:
        parameters = dict(parse_dsn(text))
    except (psycopg2.Error, ValueError):  # their messages contain the text
        return {}, "the driver cannot read it"
    fault = _fault_of(parameters)
    return ({}, fault) if fault else (parameters, "")


def _fault_of_url(rest: str) -> str:
    """Return what is wrong with a URL; "" if nothing is. libpq ends the password at the first @ before a /."""
    before, at, after = rest.partition("@")
    if "@" in (rest if not at or "/" in before else after):
        return "a password, a role or another part has an @ or a /"
    if re.search("%(?![0-9a-fA-F]{2})", rest):
        return "a % is not followed by two hexadecimal digits"
    return ""


def _fault_of(parameters: Mapping[str, str]) -> str:
    if not parameters.keys() & {"host", "hostaddr", "dbname", "user", "service"}:
        return "it names no host, no role and no database"
    if not all(re.fullmatch(r"[0-9]{0,5}", port) for port in parameters.get("port", "").split(",")):
        return "a port is not a number"
    if not all(map(_is_host, parameters.get("host", "").split(","))):
        return "a host has a character that is not allowed in host names"
    return ""


def _is_host(host: str) -> bool:
    if not host or host.startswith("/") or HOST.fullmatch(host):
        return True
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False
