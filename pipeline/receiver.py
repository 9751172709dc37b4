"""Who gets the notices: the settings VOUCHER_NOTIFY_URL, _FORM and _SECRET. Read by `settings`, used by `notices`."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared import environment
from shared.addresses import HIDDEN, redact

URL, FORM, SECRET = "VOUCHER_NOTIFY_URL", "VOUCHER_NOTIFY_FORM", "VOUCHER_NOTIFY_SECRET"
FORMS = ("webhook", "slack", "teams")
# Hosts of webhooks by the form that they expect; a host's subdomains count too. Teams gets its notices by a workflow of
# Power Automate, whose older URLs are those of Azure Logic Apps.
HOSTS = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    "logic.azure.com": "teams",
    "api.powerplatform.com": "teams",
    "webhook.office.com": "teams",
}
PREFIX = "whsec_"
LEAST_SECRET, MOST_SECRET = 24, 64  # bytes, as Standard Webhooks says


@dataclass(frozen=True)
class Receiver:
    """A URL that notices are sent to, in a form of FORMS. key: the bytes that sign a webhook, b"" for no signature.

    The URL is left out of the repr, because it allows anyone to post to the channel.
    """

    url: str = field(repr=False)
    form: str
    key: bytes = field(default=b"", repr=False)

    @property
    def name(self) -> str:
        """The receiver in messages: its host, because the rest of the URL may be secret."""
        return _host(self.url) or ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Receiver | None":
        """Return the receiver of this environment, None if there is none. Raises SettingsError of `shared`."""
        url = environment.text(environ, URL)
        if not url:
            return None
        host = _host(url)
        if not host:
            raise environment.SettingsError(
                f"{URL} is not a URL like https://host/path, with every @ of a password or a path as %40; unset it to "
                "send no notices."
            )
        form = environment.text(environ, FORM).lower()
        if form and form not in FORMS:
            raise environment.SettingsError(
                f"{FORM} is not {', '.join(FORMS[:-1])} or {FORMS[-1]}; unset, the host decides."
            )
        return cls(url, form or _form(host), _key(environment.text(environ, SECRET)))


def _host(url: str) -> str | None:
    """Return the host of an http(s) URL; None if it is something else, or if a password in it may look like a host."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is none
    except ValueError:
        return None
    is_shown = HIDDEN not in redact(url).partition("://")[2].partition("/")[0]
    is_url = parts.scheme in {"http", "https"} and url.isprintable() and not {" ", "\\"} & {*url}
    return parts.hostname if is_url and is_shown else None


def _form(host: str) -> str:
    return next((form for known, form in HOSTS.items() if host == known or host.endswith(f".{known}")), FORMS[0])


def _key(secret: str) -> bytes:
    if not secret:
        return b""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not LEAST_SECRET <= len(key) <= MOST_SECRET:
        raise environment.SettingsError(
            f"{SECRET} is not {PREFIX} and the base64 of {LEAST_SECRET} to {MOST_SECRET} bytes; "
            f'`echo "{PREFIX}$(openssl rand -base64 32)"` makes one.'
        )
    return key
