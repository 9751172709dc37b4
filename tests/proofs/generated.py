"""Clients that four generators make of the OpenAPI document: made without a warning, they call every operation and get
what the service answers.

The service wants a key and stands behind a proxy that strips a prefix; the document is fetched through it. The programs
that call are in tests/clients/. The generators come from PyPI and npm, in the versions pinned there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from tabulate import tabulate
from werkzeug.exceptions import NotFound
from werkzeug.middleware.http_proxy import ProxyMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from pipeline.rules.segments import SegmentBook
from tests.conftest import ROOT
from tests.proofs.data import CUSTOMERS
from tests.proofs.world import World

CLIENTS = ROOT / "tests" / "clients"
KEY = "the-key-of-the-proof"
PYTHON, NODE = ("openapi-python-client", "openapi-generator"), ("orval", "openapi-typescript")
MINIMAL = {  # what a generator says of this, it says of every document
    "openapi": "3.1.0",
    "info": {"title": "Minimal", "version": "1"},
    "servers": [{"url": "/"}],
    "paths": {"/x": {"get": {"operationId": "getX", "tags": ["x"], "responses": {"200": {"description": "x"}}}}},
    "components": {"schemas": {"X": {"type": "object", "properties": {"x": {"type": "string"}}}}},
}


@dataclass(frozen=True)
class Result:
    """calls: how many, each compared with what plain HTTP gets."""

    generator: str
    calls: int
    faults: tuple[str, ...]

    @property
    def key(self) -> tuple[str]:
        return (self.generator,)


@dataclass(frozen=True)
class Stage:
    """address: of the service itself; public: through the proxy; folder: for what is installed and generated."""

    address: str
    public: str
    run: str
    folder: Path


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


class ToolMissingError(Exception):
    """A program or a registry can't be reached."""


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    with World.open(folder) as world:
        world.serve(VOUCHER_API_KEYS=KEY)
        with under_prefix(world.address) as public:
            yield Stage(world.address, public, world.current(), folder)


@contextmanager
def under_prefix(address: str) -> Iterator[str]:
    """The address of a proxy to it that takes /select/ from the path."""
    app = ProxyMiddleware(NotFound(), {"/select/": {"target": f"{address}/", "remove_prefix": True}})
    proxy = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.port}/select"
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def keys(stage: Stage) -> list[tuple[str]]:
    return [(generator,) for generator in (*PYTHON, *NODE)]


def trial(stage: Stage, generator: str) -> Result:
    """Install, generate, call. Raises ToolMissingError."""
    given = _given(stage)
    folder = stage.folder / "generated" / generator
    folder.mkdir(parents=True)
    (folder / "input.json").write_text(json.dumps(given))
    said, called = (_python if generator in PYTHON else _node)(generator, folder, f"{stage.public}/openapi.json")
    faults = [f"generating: {line}" for line in said.splitlines() if re.search(r"warn|error|⚠", line, re.I)]
    if called.returncode:
        return Result(generator, 0, (*faults, f"calling: {called.stdout[-500:]}{called.stderr[-1500:]}"))
    found, expected = json.loads(called.stdout), _expected(stage.address, given)
    faults += [f"{name}: not called" for name in expected.keys() - found.keys()]
    faults += [
        f"{name}: {_plain(found[name])!r:.500} and not {_plain(value)!r:.500}"
        for name, value in expected.items()
        if name in found and _plain(found[name]) != _plain(value)
    ]
    paths = requests.get(f"{stage.address}/openapi.json", timeout=10).json()["paths"].values()
    ids = {operation["operationId"] for path in paths for operation in path.values()}
    faults += [f"{each}: never called" for each in ids - {name.split(" ")[0] for name in found}]
    return Result(generator, len(found), tuple(faults))


def table(results: Sequence[Result]) -> str:
    lines = [(each.generator, each.calls, len(each.faults)) for each in results]
    return tabulate(lines, ("generator", "calls, each as plain HTTP", "faults"))


def short(results: Sequence[Result]) -> list[str]:
    return [f"{each} has no trial" for each in {*PYTHON, *NODE} - {result.generator for result in results}]


def _given(stage: Stage) -> dict[str, Any]:
    """What the calling programs read: where to ask, with which key, and about whom."""
    frequent, recency = (
        next(json.loads(each.request) for each in CUSTOMERS if each.kind == kind.name)
        for kind in SegmentBook.load().kinds
    )
    return {
        "url": stage.public,
        "key": KEY,
        "frequent": frequent,
        "recency": recency,
        "unknown": frequent | {"country_code": "Atlantis"},
        "country": frequent["country_code"],
        "run": stage.run,
    }


def _expected(address: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What plain HTTP gets, by the names that the calling programs give."""

    def ask(path: str, body: Any = None, **query: Any) -> Any:
        lines = path.endswith(".ndjson")
        response = requests.request(
            "GET" if body is None else "POST",
            f"{address}{path}",
            params=query,
            data="".join(f"{json.dumps(each)}\n" for each in body) if lines else json.dumps(body),
            headers={
                "Authorization": f"Bearer {KEY}",
                "Content-Type": "application/x-ndjson" if lines else "application/json",
            },
            timeout=30,
        )
        return response.json() if response.headers["Content-Type"].endswith("json") and not lines else response.text

    customers = [given[name] for name in ("frequent", "recency", "unknown")]
    run, country = given["run"], given["country"]
    return {
        "getVoucher": ask("/voucher", given["frequent"]),
        "getVoucher explained": ask("/voucher", given["recency"], explain="true"),
        "getVoucher refused": ask("/voucher", given["unknown"]),
        "getSegmentationVoucher explained": ask("/segmentation-voucher/", given["recency"], explain="true"),
        "getVouchers": ask("/vouchers", customers),
        "getVouchers explained": ask("/vouchers", customers, explain="true"),
        "getVouchersNdjson explained": ask("/vouchers.ndjson", customers, explain="true"),
        "getSegments": ask("/segments", country=country),
        "getSegmentsCsv": ask("/segments.csv"),
        "getRules": ask("/rules"),
        "getRules of a run": ask("/rules", run=run),
        "getRuns": ask("/runs"),
        "getRuns before": ask("/runs", limit=1, before=run),
        "getRun": ask(f"/runs/{run}"),
        "getAssignmentsCsv": ask("/assignments.csv", country=country, run=run),
        "getLiveness": ask("/livez"),
        "getReadiness": ask("/readyz"),
        "getHealth": ask("/health"),
        "getMetrics": ask("/metrics"),
    }


def _plain(value: Any) -> Any:
    """Without what changes from one call to the next, and with times in one form."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name != "data_age_days"}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, str):
        return value
    if "voucher_request" in value:
        return [line for line in value.splitlines() if "voucher_request" not in line]
    if value.startswith("{"):
        return [_plain(json.loads(line)) for line in value.splitlines()]
    return datetime.fromisoformat(value) if re.match(r"\d{4}-\d\d-\d\dT", value) else value


def _python(generator: str, folder: Path, document: str) -> tuple[str, subprocess.CompletedProcess[str]]:
    """What the generator says, and the calling program once it has ended."""
    _install(sys.executable, "-m", "uv", "venv", "--python", sys.executable, "venv", cwd=folder)
    python = str(folder / "venv" / "bin" / "python")
    pins = str(CLIENTS / f"{generator}.txt")
    _install(
        sys.executable, "-m", "uv", "pip", "install", "--python", python, "--require-hashes", "-r", pins, cwd=folder
    )
    if generator == "openapi-generator":
        (folder / "minimal.json").write_text(json.dumps(MINIMAL))
        always = _openapi_generator("minimal.json", "minimal", folder).splitlines()
        said = "\n".join(
            line for line in _openapi_generator(document, "client", folder).splitlines() if line not in always
        )
        if (folder / "client" / "generated").exists():
            (folder / "client" / "generated").rename(folder / "generated")
    else:
        config = str(CLIENTS / "openapi-python-client.yaml")
        options = ("--url", document, "--meta", "none", "--output-path", "generated", "--config", config)
        said = _generate("openapi-python-client", "generate", *options, cwd=folder)
    name = f"{generator.replace('-', '_')}.py"
    shutil.copy(CLIENTS / name, folder)
    return said, _call([python, name], folder)


def _openapi_generator(document: str, output: str, folder: Path) -> str:
    if not shutil.which("java"):
        raise ToolMissingError("there is no java, which openapi-generator needs")
    return _generate(
        *("openapi-generator-cli", "generate", "-i", document, "-g", "python", "-o", output),
        *("--package-name", "generated"),
        cwd=folder,
    )


def _node(generator: str, folder: Path, document: str) -> tuple[str, subprocess.CompletedProcess[str]]:
    """As `_python`; the calling program is compiled, so that its types are checked too."""
    if not shutil.which("npm"):
        raise ToolMissingError("there is no npm")
    if not (folder.parent / "node_modules").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / name, folder.parent)
        _install("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder.parent)
    shutil.copy(CLIENTS / "tsconfig.json", folder)
    shutil.copy(CLIENTS / f"{generator}.ts", folder / "call.ts")
    options = (
        ("--input", document, "--output", "generated.ts") if generator == "orval" else (document, "-o", "generated.ts")
    )
    said = _generate(generator, *options, cwd=folder)
    compiled = _call(["npx", "--no-install", "tsc"], folder)
    return said, compiled if compiled.returncode else _call(["node", "--no-warnings", "out/call.js"], folder)


def _install(*command: str, cwd: Path) -> None:
    """Raises ToolMissingError where it fails: the registry can't be reached, say."""
    ended = _call(command, cwd)
    if ended.returncode:
        raise ToolMissingError(f"{' '.join(command)}: {ended.stdout[-500:]}{ended.stderr[-500:]}")


def _generate(*command: str, cwd: Path) -> str:
    """What the generator says; where it fails, that is an error."""
    ended = _call(command, cwd)
    return ended.stdout + ended.stderr + (f"error: it ended with {ended.returncode}\n" if ended.returncode else "")


def _call(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(cwd / "venv" / "bin"), str(cwd.parent / "node_modules" / ".bin"), os.environ["PATH"]])
    environ = os.environ | {"PATH": path, "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1", "SCARF_ANALYTICS": "false"}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=600)
