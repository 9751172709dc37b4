"""Run everything that reads an address or a key, and record all that a person may see of it."""

import io
import logging
import os
import string
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, unquote

import psycopg2
from flask import Flask

from app import create_app
from app.settings import Settings as AppSettings
from pipeline import PipelineError, run
from pipeline.__main__ import main
from pipeline.notices import delivery
from pipeline.settings import Settings
from proofs.secrets.addresses import DATABASES, NOTICES, NOTIFY_SECRET, NOTIFY_URL, PIECE, Case
from proofs.secrets.targets import Targets
from shared.environment import SettingsError

TABLES = ("run", "part", "publication", "audit_outcome", "notice")


@dataclass
class Seen:
    """All visible text, the exit codes of the commands, and other faults."""

    text: str = ""
    codes: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def leaks(self, secret: str) -> list[str]:
        """Return the pieces of the secret that are visible: as they are, percent-encoded or reversed."""
        shown = {self.text, unquote(self.text), self.text.replace("\\", "")}
        spelled = {secret, quote(secret, safe=""), secret[::-1]}
        pieces = {text[at : at + PIECE] for text in spelled for at in range(len(text) - PIECE + 1)}
        return sorted(piece for piece in pieces if _tells(piece) and any(piece in text for text in shown))


def _tells(piece: str) -> bool:
    """Return whether the piece is typical of the secret, and not part of any address."""
    return sum(char in string.ascii_letters + string.digits for char in piece) >= PIECE - 1 and "127" not in piece


def environment(targets: Targets, case: Case) -> dict[str, str]:
    """Return the variable of the case, with valid values for the others."""
    others = {
        "VOUCHER_SOURCE": str(targets.history),
        "TODAY": case.day.isoformat(),
        "VOUCHER_KEEP_RUNS": "1",
        **targets.s3,
    }
    if case.variable != "DATABASE_URL":
        urls = {
            "DATABASE_URL": targets.owner,
            "PIPELINE_DATABASE_URL": targets.pipeline,
            "API_DATABASE_URL": targets.api,
        }
        others |= {name: url for name, url in urls.items() if name != case.variable}
    if case.variable == NOTIFY_SECRET:
        others |= {NOTIFY_URL: f"http://127.0.0.1:{targets.web}/hook"}
    return others | {case.variable: case.address}


def exercise(targets: Targets, case: Case) -> Seen:
    """Run all that reads the variable. Return the output, log, errors with their causes, answers and tables."""
    seen = Seen()
    delivery.PAUSES = ()  # a receiver that is down costs no time
    with _environ(environment(targets, case)), _recorded(seen):
        commands = ["migrate"] if case.variable in DATABASES else []
        if case.variable != "API_DATABASE_URL":
            commands += [case.command, "runs"]
            commands += ["notify", "notify --test"] if case.variable in NOTICES else []
            _watched(seen, lambda: print(repr(Settings.read()), repr(run.plan(Settings.read()))))
        for command in commands:
            _watched(seen, partial(_record_code, seen, command))
        _watched(seen, lambda: _ask(os.environ))
    if case.variable in DATABASES[1:]:
        targets.migrate()  # restore the role's password
    with closing(psycopg2.connect(targets.owner)) as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM voucher.{table} AS t")
            [(text,)] = cursor.fetchall()
            seen.text += text or ""
    return seen


def _record_code(seen: Seen, command: str) -> None:
    seen.codes.append(main(command.split()))


def _ask(environ: Mapping[str, str]) -> None:
    app: Flask = create_app(AppSettings.from_environment(environ))
    try:
        client = app.test_client()
        for path in ("/readyz", "/runs", "/", "/segments", "/metrics"):
            print(client.get(path).text)
        customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
        print(client.post("/voucher?explain=true", json=customer).text)
    finally:
        app.extensions["published"].stop()


def _watched(seen: Seen, step: Callable[[], object]) -> None:
    """Run a step. Record our own errors with their causes, as Airflow's log does; any other error is a fault."""
    try:
        step()
    except (PipelineError, SettingsError) as error:
        seen.text += "".join(traceback.format_exception(error))
    except Exception as error:  # noqa: BLE001  (to find unforeseen errors)
        seen.text += "".join(traceback.format_exception(error))
        seen.faults.append(f"{type(error).__name__}: {error}")


@contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _recorded(seen: Seen) -> Iterator[None]:
    """Record what is printed, logged, or written to the file descriptors 1 and 2."""
    printed, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(printed), root.level
    with ExitStack() as stack, tempfile.TemporaryFile() as file:
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        stack.callback(root.setLevel, level)
        stack.callback(root.removeHandler, handler)
        for number in (1, 2):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(file.fileno(), number)
        stack.enter_context(redirect_stdout(printed))
        stack.enter_context(redirect_stderr(printed))
        yield
        sys.stdout.flush()
        file.seek(0)
        seen.text += printed.getvalue() + file.read().decode(errors="replace")
