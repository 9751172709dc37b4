"""Addresses with a secret in them, well-formed and not, and all that a person may see of what comes of them."""

import gc
import http.server
import io
import logging
import os
import random
import secrets
import string
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg2
import pyarrow.parquet as pq
from flask import Flask
from hypothesis import strategies as st

from app import create_app
from app.settings import Settings as AppSettings
from dev.s3 import S3
from pipeline import PipelineError, run
from pipeline.__main__ import main
from pipeline.migrations import migrate
from pipeline.settings import Settings
from shared.environment import SettingsError
from tests.conftest import as_role
from tests.pipeline.conftest import history

DATABASES = ("DATABASE_URL", "PIPELINE_DATABASE_URL", "API_DATABASE_URL")
SOURCES = ("VOUCHER_SOURCE", "VOUCHER_ROWS", "VOUCHER_DASK")
PIECE = 6  # characters of a secret that must not be seen together
SPECIAL = (
    *("", "@", "/", ":", "%", "?", "#", "&", "=", "@/", "%4", " ", "é", "'", '"', "\\", "${", "@127.0.0.1/"),
    *("%2F", "+"),
)
SCHEMES = ("postgresql", "postgres", "POSTGRESQL", "postgresql+psycopg2", "postgresql+asyncpg", "mysql", " postgresql")
PARAMETERS = (
    *("password", "application_name", "options", "sslpassword", "passfile", "sslcert", "sslmode", "connect_timeout"),
    *("user", "dbname", "target_session_attrs", "token", "krbsrvname", "fallback_application_name"),
)
TABLES = ("run", "part", "publication", "audit_outcome")


@dataclass(frozen=True)
class World:
    """A migrated database, a file, an S3 stand-in, and a web server that gives the same file at every address."""

    owner: str
    roles: str  # what the names of its own roles begin with: migrations change their passwords
    history: Path
    bucket: str
    s3: Mapping[str, str]
    web: int

    @property
    def pipeline(self) -> str:
        return as_role(self.owner, f"{self.roles}_pipeline")

    @property
    def api(self) -> str:
        return as_role(self.owner, f"{self.roles}_api")

    def migrate(self) -> None:
        """Give both roles their passwords."""
        migrate(self.owner, self.pipeline, self.api)


@dataclass(frozen=True)
class Case:
    """An address that a variable has, with the secret in its `where`; `day` makes each run another."""

    variable: str
    where: str
    address: str
    secret: str
    command: str  # plan or run
    day: date


@dataclass
class Seen:
    """What people saw, in whatever way, the exit codes of the commands, and what went wrong otherwise."""

    text: str = ""
    codes: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def leaks(self, secret: str) -> list[str]:
        """The pieces of the secret that can be found, as they are, percent-encoded or reversed."""
        shown = {self.text, unquote(self.text), self.text.replace("\\", "")}
        spelled = {secret, quote(secret, safe=""), secret[::-1]}
        pieces = {text[at : at + PIECE] for text in spelled for at in range(len(text) - PIECE + 1)}
        return sorted(piece for piece in pieces if _tells(piece) and any(piece in text for text in shown))


def _tells(piece: str) -> bool:
    """Whether it is of the secret: not what addresses have anyway."""
    return sum(char in string.ascii_letters + string.digits for char in piece) >= PIECE - 1 and "127" not in piece


def _secret(seed: int, special: str) -> str:
    letters = random.Random(seed)
    first, second = ("".join(letters.choices(string.ascii_letters + string.digits, k=9)) for _ in range(2))
    return f"{first}{special}{second}"


@st.composite
def cases(draw: st.DrawFn, world: World, variables: tuple[str, ...] = (*DATABASES, *SOURCES)) -> Case:
    """One case of one of the variables."""
    variable = draw(st.sampled_from(variables))
    secret = _secret(draw(st.integers(0, 2**32)), draw(st.sampled_from(SPECIAL)))
    where, address = draw(
        _database(world, variable, secret) if variable in DATABASES else _source(world, variable, secret)
    )
    command = draw(st.sampled_from(("plan", "run")))
    return Case(
        variable, where, address, secret, command, date(2000, 1, 1) + timedelta(days=draw(st.integers(0, 9000)))
    )


@st.composite
def _database(draw: st.DrawFn, world: World, variable: str, secret: str) -> tuple[str, str]:
    url = urlsplit({"DATABASE_URL": world.owner, "PIPELINE_DATABASE_URL": world.pipeline}.get(variable, world.api))
    parts = {"user": url.username, "password": url.password, "path": url.path[1:], "query": ""}
    where = draw(st.sampled_from(tuple(parts)))
    text = quote(secret, safe="") if draw(st.booleans()) else secret
    parts[where] = f"?{draw(st.sampled_from((*PARAMETERS, text)))}={text}" if where == "query" else text
    hosts = (
        *("127.0.0.1:1", f"127.0.0.1:{url.port}", f"127.0.0.1:1,127.0.0.1:{url.port}", "[::1]:1"),
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
def _source(draw: st.DrawFn, world: World, variable: str, secret: str) -> tuple[str, str]:
    text = quote(secret, safe="") if draw(st.booleans()) else secret.replace(" ", "").replace("\\", "")
    web = draw(st.sampled_from((f"127.0.0.1:{world.web}", f"127.0.0.1:{world.web}", "127.0.0.1:1")))
    forms = {
        "user": (
            f"http://{text}@{web}/h.parquet",
            f"s3://{text}@{world.bucket}/h.parquet",
            f"tcp://{text}@127.0.0.1:1",
        ),
        "password": (
            *(f"http://u:{text}@{web}/h.parquet", f"s3://K:{text}@{world.bucket}/h/", f"S3://K:{text}@b/h.parquet"),
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


class _Anything(http.server.BaseHTTPRequestHandler):
    """The same file at each address."""

    def __init__(self, content: bytes, *others: Any) -> None:
        self.content = content
        super().__init__(*others)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def world_of(owner: str, folder: Path, s3: S3, bucket: str) -> Iterator[World]:
    """A world on a migrated database and a bucket; its file lies in the folder."""
    history_file = folder / "history.parquet"
    pq.write_table(history(*[{}] * 20), history_file)
    s3.put(bucket, "h.parquet", history_file)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Anything, history_file.read_bytes()))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    roles = f"secrets_{secrets.token_hex(4)}"
    world = World(owner, roles, history_file, bucket, s3.environment, server.server_address[1])
    try:
        world.migrate()
        gc.freeze()  # each command of the pipeline collects garbage: not that of all that was there before
        yield world
    finally:
        gc.unfreeze()
        server.shutdown()
        thread.join()
        server.server_close()


def environment(world: World, case: Case) -> dict[str, str]:
    """What is set beside the case's own variable, so that nothing else is in the way."""
    others = {"VOUCHER_SOURCE": str(world.history), "TODAY": case.day.isoformat(), "VOUCHER_KEEP_RUNS": "1", **world.s3}
    if case.variable != "DATABASE_URL":
        urls = {"DATABASE_URL": world.owner, "PIPELINE_DATABASE_URL": world.pipeline, "API_DATABASE_URL": world.api}
        others |= {name: url for name, url in urls.items() if name != case.variable}
    return others | {case.variable: case.address}


def exercise(world: World, case: Case) -> Seen:
    """All that reads the variable, and what is seen of it: output, log, errors with their causes, answers, tables."""
    seen = Seen()
    with _environ(environment(world, case)), _recorded(seen):
        commands = ["migrate"] if case.variable in DATABASES else []
        if case.variable != "API_DATABASE_URL":
            commands += [case.command, "runs"]
            _watched(seen, lambda: print(repr(Settings.read()), repr(run.plan(Settings.read()))))
        for command in commands:
            _watched(seen, lambda command=command: seen.codes.append(main([command])))
        _watched(seen, lambda: _ask(os.environ))
    if case.variable in DATABASES[1:]:
        world.migrate()  # a role has another password now
    with closing(psycopg2.connect(world.owner)) as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM voucher.{table} AS t")
            seen.text += cursor.fetchone()[0] or ""
    return seen


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
    """Errors of ours are told as Airflow's log would, with what led to them; any other is a fault."""
    try:
        step()
    except (PipelineError, SettingsError) as error:
        seen.text += "".join(traceback.format_exception(error))
    except Exception as error:  # noqa: BLE001  (what nobody foresaw is what is looked for)
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
    """Add what is printed, logged, or written to the file descriptors of output and errors."""
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
