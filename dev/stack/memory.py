"""The settings of a stack, which `make up` writes to .local/env and reads again the next time.

The caller's settings take precedence. An empty value forgets a setting. For the source, only the word `sample` does,
so that an unset shell variable never replaces a history with invented data.
"""

import os
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dev.ports import PORTS
from dev.processes import StackError
from dev.services import s3
from shared import environment, files
from shared.addresses import SCHEME, redact

SOURCE, DATABASE, PIPELINE, API = "VOUCHER_SOURCE", "DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL"
DATABASES = (DATABASE, PIPELINE, API)
OURS = ("VOUCHER_", "AWS_", "TODAY", *DATABASES)  # the first letters of the product's settings
SETTINGS = {each.name for each in environment.VARIABLES if {"pipeline", "api"} & {*each.readers}}
OF_SOURCE = ("VOUCHER_S3_ANONYMOUS", "AWS_")
TOGETHER = {SOURCE: OF_SOURCE, DATABASE: DATABASES}  # a new source or database replaces these settings too
PAGE, OWN_PAGE = "VOUCHER_PAGE_URL", r"http://127\.0\.0\.1:\d+"
SAMPLE = "sample"  # as VOUCHER_SOURCE: the built-in sample
KEPT_OF_AWS = (
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"),
    *("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE"),
)  # of the caller's own S3; its keys and tokens are not written to disk
NOT_KEPT = "# Not kept here: "
BACK = "`make up VOUCHER_SOURCE=sample` goes back to the sample"


@dataclass(frozen=True)
class Memory:
    """The settings of the caller's environment `given` over those of the script `env`; `secrets` are the stack's."""

    env: Path
    given: Mapping[str, str]
    secrets: Collection[str]

    @cached_property
    def kept(self) -> dict[str, str]:
        """The settings that the last `make up` wrote. Raises StackError."""
        if not self.env.exists():
            return {}
        try:
            words = shlex.split(self.env.read_text(), comments=True)
        except ValueError:
            raise StackError(f"{self.env} is no shell script. Delete it and give the settings again.") from None
        pairs = (word.partition("=") for word in words)
        return {name: value for name, _, value in pairs if _is_setting(name)}

    @cached_property
    def chosen(self) -> dict[str, str]:
        """The settings that the caller chooses, "" for those to forget.

        Values that the stack generated do not count: they come from a .local/env that the shell sourced. Neither do
        the caller's AWS settings while the source is in the stack's S3.
        """
        chosen = {name: environment.text(self.given, name) for name in self.given if _is_setting(name)}
        own = [name for name in DATABASES if any(secret in chosen.get(name, "") for secret in self.secrets)]
        source = chosen.pop(SOURCE, "")
        sourced = source == s3.SOURCE and _opens_stand_in(chosen)
        if sourced or source == SAMPLE or (not source and _opens_stand_in(self.kept)):
            own += OF_SOURCE
        if source == SAMPLE:
            chosen[SOURCE] = ""
        elif source and not sourced:
            chosen[SOURCE] = _absolute(source)
        return without(chosen, own)

    @cached_property
    def settings(self) -> dict[str, str]:
        """The settings in force, except those that the stack derives itself."""
        kept = self.kept
        for head, others in TOGETHER.items():
            if head in self.chosen and self.chosen[head] != kept.get(head):
                kept = without(kept, (head, *others))
        return {name: value for name, value in {**kept, **self.chosen}.items() if value}

    @property
    def source(self) -> str:
        """The address of the history."""
        return self.settings.get(SOURCE, s3.SOURCE)

    @property
    def in_stand_in(self) -> bool:
        """Whether the history is in the stack's own S3: the sample, or another object that its keys open."""
        return SOURCE not in self.settings or _opens_stand_in(self.settings)

    @property
    def is_sample(self) -> bool:
        """Whether the source is the synthetic sample."""
        return self.in_stand_in and self.source == s3.SOURCE

    @property
    def page(self) -> str:
        """The caller's own URL of the page; "" if there is none, or if it is that of a stack on any port."""
        url = self.settings.get(PAGE, "")
        return "" if re.fullmatch(OWN_PAGE, url) else url

    @property
    def asks_for_sample(self) -> bool:
        """Whether the caller goes back to the sample explicitly."""
        return self.chosen.get(SOURCE) == ""

    @property
    def remembers_source(self) -> bool:
        """Whether the caller gave the source earlier, but not now."""
        return SOURCE not in self.chosen and not self.is_sample

    @property
    def source_text(self) -> str:
        """The source for display, and how to choose another."""
        if self.is_sample:
            return "the built-in synthetic sample; `make up VOUCHER_SOURCE=…` takes your own history"
        remembered = f"remembered from {self.env.parent.name}/{self.env.name}; " if self.remembers_source else ""
        return f"{redact(self.source)} ({remembered}{BACK})"

    @property
    def remembered_names(self) -> str:
        """The names of the other remembered settings; their values may be secrets."""
        derived = ("VOUCHER_AIRFLOW_URL", *(() if self.page else (PAGE,)))
        names = sorted(without(self.settings, (*self.chosen, *OF_SOURCE, SOURCE, *derived)))
        return ", ".join(name for name in names if not any(secret in self.settings[name] for secret in self.secrets))

    def remedy(self, name: str) -> str:
        """Return how to get rid of a setting whose value is bad."""
        remembered = "" if name in self.chosen else f"It is remembered from {self.env.parent.name}/{self.env.name}: "
        return f"{remembered}`make up {name}=` unsets it." if name in self.settings else ""

    def of_source(self, *aws: str) -> dict[str, str]:
        """Return the settings that reading the source needs; `aws`: prefixes of the AWS settings to include."""
        names = (SOURCE, "VOUCHER_S3_ANONYMOUS", *aws)
        return {name: value for name, value in self.settings.items() if name.startswith(names)}

    @property
    def _needs_keys(self) -> bool:
        """Whether rows are read from or written to another S3 that needs credentials."""
        anonymous = environment.yes_no(self.settings, "VOUCHER_S3_ANONYMOUS")
        addresses = ([] if anonymous else [self.source]) + [self.settings.get("VOUCHER_ROWS", "")]
        return not self.in_stand_in and any(address.lower().startswith("s3") for address in addresses)

    def check_keys(self) -> None:
        """Raise StackError if the remembered source was given with keys and the caller gives none now."""
        found = re.search(rf"^{NOT_KEPT}(.*)$", self.env.read_text(), re.MULTILINE) if self.env.exists() else None
        if found and self.remembers_source and not any(name.startswith("AWS_") for name in self.chosen):
            raise StackError(
                f"{redact(self.source)} was read with {found[1]}, which {self.env} does not keep. Set them again, or "
                "set AWS_PROFILE, or give VOUCHER_SOURCE again to use the credentials that boto3 finds."
            )

    def write(self, settings: Mapping[str, str], *more: str) -> None:
        """Write the settings to the script, readable only by this user; `more` are further lines."""
        left_out = without(self.of_source("AWS_"), settings) if self._needs_keys else {}
        ports = {name: value for name, value in self.settings.items() if name in PORTS}
        lines = [
            "# Written by `make up`, which reads it again. Source it: . .local/env",
            *([f"{NOT_KEPT}{', '.join(sorted(left_out))}"] if left_out else []),
            *(f"{name}={value}" for name, value in sorted(ports.items())),  # not exported: Compose has these names too
            *(f"export {name}={shlex.quote(value)}" for name, value in sorted(settings.items())),
        ]
        files.replace(self.env, "\n".join([*lines, *more, ""]), 0o600)


def without(settings: Mapping[str, str], prefixes: Collection[str]) -> dict[str, str]:
    """Return the settings whose names do not start with any of these."""
    return {name: value for name, value in settings.items() if not name.startswith(tuple(prefixes))}


def _is_setting(name: str) -> bool:
    return name in SETTINGS or name in PORTS or name.startswith("AWS_")


def _opens_stand_in(settings: Mapping[str, str]) -> bool:
    return settings.get("AWS_SECRET_ACCESS_KEY") == s3.SECRET_KEY


def _absolute(source: str) -> str:
    """Return the source with an absolute path. The path of a folder keeps the / at its end."""
    if SCHEME.match(source):
        return source
    path = os.path.normpath(Path.cwd() / Path(source).expanduser())
    return f"{path}{'/' if source.endswith('/') and path != '/' else ''}"
