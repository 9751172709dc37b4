"""The product on one machine: what runs, on which ports, with which settings. Called by `python -m dev`."""

import hashlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dev import s3
from dev.airflow import PARTS, Airflow
from dev.memory import API, DATABASE, DATABASES, KEPT_OF_AWS, OURS, SOURCE, Memory, without
from dev.ports import taken, twins
from dev.postgres import Postgres
from dev.processes import Processes, StackError
from dev.service import Service
from shared import files

ROOT = Path(__file__).parent.parent
DAG = "Voucher_Select"
LOCAL = "127.0.0.1,localhost"  # what no proxy stands before
PORTS = {
    "API_PORT": ("api", 8000),
    "AIRFLOW_PORT": ("airflow-api", 8080),
    "POSTGRES_PORT": ("postgres", 5432),
    "S3_PORT": ("s3", 9000),
}
ROTATION = "log-rotation"
STOP_ORDER = (("airflow-scheduler", "airflow-dags", "api"), ("airflow-api", "s3"), ("postgres",), (ROTATION,))
SECRETS = {"postgres": 16, "owner": 16, "pipeline": 16, "api": 16, "airflow": 64}  # lengths in bytes
API_SETTINGS = (
    *("VOUCHER_MAX_AGE_HOURS", "VOUCHER_API_KEYS", "VOUCHER_CORS_ORIGINS", "VOUCHER_WORKERS"),
    *("VOUCHER_HOSTS", "VOUCHER_TRUSTED_PROXIES", "VOUCHER_AIRFLOW_URL"),
)
NOT_FOR_CHILDREN = ("AIRFLOW", "MAKE", "MFLAGS", "PYTHON", "TODAY")


@dataclass(frozen=True)
class Stack:
    """The stack whose state lies in the folder `state`, as the caller's environment `given` wants it."""

    state: Path
    given: Mapping[str, str]

    @cached_property
    def processes(self) -> Processes:
        return Processes(self.state)

    @cached_property
    def ports(self) -> dict[str, int]:
        """By variable: what the caller asks for, else where the part already runs, else the default."""
        return {variable: self._port(variable, name, default) for variable, (name, default) in PORTS.items()}

    def _port(self, variable: str, name: str, default: int) -> int:
        if given := self.given.get(variable):
            if not given.isdecimal() or not 0 < int(given) < 65536:
                raise StackError(f"{variable}={given} is not a port: a whole number from 1 to 65535.")
            return int(given)
        running = self.processes.running(name)
        return running.port if running and running.port else default

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Generated once for each state folder; those that an earlier version didn't have are added."""
        path = self.state / "secrets.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        if missing := {name: secrets.token_hex(size) for name, size in SECRETS.items() if name not in kept}:
            self.state.mkdir(parents=True, exist_ok=True)
            files.replace(path, json.dumps(kept | missing), 0o600)
        return dict(kept | missing)

    @cached_property
    def memory(self) -> Memory:
        known = self.secrets.values() if self.state.exists() else ()  # looking at a stack makes none
        return Memory(self.state / "env", self.given, tuple(known))

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self.state, self.ports["POSTGRES_PORT"], self.secrets["owner"], self.secrets["postgres"])

    @cached_property
    def s3(self) -> s3.S3:
        return s3.S3(self.state, self.ports["S3_PORT"])

    @cached_property
    def airflow(self) -> Airflow:
        return Airflow(self.state, self.ports["AIRFLOW_PORT"], ROOT / "pipeline" / "dags", self.secrets["airflow"])

    @cached_property
    def api(self) -> Service:
        keys = self.memory.settings.get("VOUCHER_API_KEYS", "").split(",")
        return Service(self.state, self.ports["API_PORT"], keys[0].strip())

    @property
    def own_postgres(self) -> bool:
        """Whether the stack has a Postgres of its own: the caller names no other."""
        url = self.memory.settings.get(DATABASE, "")
        return not url or self.secrets["owner"] in url

    @property
    def own_s3(self) -> bool:
        """Whether the source lies in the S3 stand-in, which is started then."""
        return self.memory.in_stand_in

    @cached_property
    def settings(self) -> dict[str, str]:
        """The product's settings, as .local/env shows them."""
        local = ",".join(filter(None, (LOCAL, self.given.get("NO_PROXY") or self.given.get("no_proxy"))))
        return {
            **{name: value for name, value in self.memory.settings.items() if name.startswith(("VOUCHER_", "TODAY"))},
            **self._databases,
            **self.of_source(*KEPT_OF_AWS),
            **self.airflow.environment,
            "VOUCHER_AIRFLOW_URL": self.airflow.url,  # always the stack's own, whatever port it had before
            "FLASK_APP": "app",
            **{"NO_PROXY": local, "no_proxy": local},
        }

    @property
    def _databases(self) -> dict[str, str]:
        """The database's addresses, one a role."""
        if not self.own_postgres:
            settings = self.memory.settings
            return {name: settings.get(name) or settings[DATABASE] for name in DATABASES}
        return {
            DATABASE: self.postgres.url(),
            "PIPELINE_DATABASE_URL": self.postgres.url(user="voucher_pipeline", password=self.secrets["pipeline"]),
            API: self.postgres.url(user="voucher_api", password=self.secrets["api"]),
        }

    @cached_property
    def environment(self) -> dict[str, str]:
        """What a command of the owner gets."""
        return {**self.bare_environment, **self.settings, **self.of_source("AWS_")}

    @cached_property
    def bare_environment(self) -> dict[str, str]:
        """The caller's environment without any product's settings, with the stack's programs and code on its paths."""
        base = without(self.given, (*OURS, *NOT_FOR_CHILDREN))
        path = f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}"
        return {**base, "PATH": path, "PYTHONPATH": str(ROOT)}

    def of_source(self, *aws: str) -> dict[str, str]:
        """What it takes to read the source; of another S3, the settings whose names begin so."""
        if self.own_s3:
            return {SOURCE: self.memory.source, "VOUCHER_S3_ANONYMOUS": "0", **self.s3.environment}
        return self.memory.of_source(*aws)

    def environment_with(self, database: str | None = None) -> dict[str, str]:
        """What a process of the stack gets: of the database's addresses only its own, if any; the API its keys."""
        others = {*DATABASES, "VOUCHER_API_KEYS"} - ({database, "VOUCHER_API_KEYS"} if database == API else {database})
        return {name: value for name, value in self.environment.items() if name not in others}

    def write_env(self) -> None:
        """Write .local/env, which a shell sources to use the command lines against the running stack."""
        programs = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
        self.memory.write(self.settings, programs, "unset PYTHONDONTWRITEBYTECODE")

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """By process: what it must have been started with. One that was not is started anew."""
        api = [self.environment.get(name) for name in (API, "VOUCHER_ENV", *API_SETTINGS)]
        folders = (ROOT / "app", ROOT / "shared")
        code = [
            path.read_text() for each in folders for kind in ("*.py", "*.html") for path in sorted(each.rglob(kind))
        ]
        given = self.environment_with("PIPELINE_DATABASE_URL")
        airflow = {name: value for name, value in given.items() if name.startswith((*OURS, "AIRFLOW"))}
        wanted = {"api": _hash(api, code, self.api.port), **dict.fromkeys(PARTS, _hash(airflow))}
        wanted |= {"postgres": self.postgres.settings} if self.own_postgres else {}
        return wanted | ({"s3": self.s3.settings} if self.own_s3 else {})

    def outdated(self) -> list[str]:
        running = [process for name in self.fingerprints if (process := self.processes.running(name))]
        return [process.name for process in running if process.settings != self.fingerprints[process.name]]

    def check_ports(self) -> None:
        """Raise StackError, naming each, while a port that is needed is another's."""
        ours = {process.port for name in self.fingerprints if (process := self.processes.running(name))}
        needed = {name: self.ports[name] for name, (part, _) in PORTS.items() if part in self.fingerprints}
        if troubles := [*twins(needed), *taken(needed, ours)]:
            raise StackError("\n".join(troubles))

    def rules_fingerprint(self) -> str:
        """Changes when the last run no longer tells what a run would find: source, database, rules, segments, TODAY."""
        files = [(ROOT / "pipeline" / name).read_text() for name in ("rules.toml", "segments.toml")]
        names = ("VOUCHER_SOURCE", "DATABASE_URL", "TODAY", "AWS_ENDPOINT_URL_S3")
        return _hash([self.environment.get(name) for name in names], files)

    def check_source(self) -> None:
        """Raise StackError when the history cannot be found."""
        ended = subprocess.run(
            module("dev.history"), env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise StackError(f"{ended.stderr.strip()}\nThe source is {self.memory.told_source}.")

    @property
    def has_run(self) -> bool:
        """Whether a run would find what the last one found."""
        last = self.state / "last-run"
        return last.exists() and last.read_text() == self.rules_fingerprint()

    def note_run(self, fingerprint: str) -> None:
        files.replace(self.state / "last-run", fingerprint)

    def sample(self) -> Path:
        """The synthetic history, written anew when its recipe has changed."""
        path, recipe = self.state / "sample.parquet", self.state / "sample.recipe"
        wanted = _hash([path.read_text() for path in sorted((ROOT / "sample").glob("*.*"))])
        if not path.exists() or not recipe.exists() or recipe.read_text() != wanted:
            new = path.with_suffix(".new")
            command(module("sample", str(new)), self.environment)
            new.replace(path)
            files.replace(recipe, wanted)
        return path

    def rotate_logs(self) -> None:
        """Start the process that does, where it does not run."""
        if not self.processes.running(ROTATION):
            log = self.processes.log(ROTATION)
            self.processes.start(ROTATION, module("dev.rotation", str(log.parent)), self.environment_with())

    def stop(self, wanted: Collection[str]) -> Iterator[str]:
        """Stop parts, those that need no other first; the names of those that ran."""
        signals = {"postgres": signal.SIGINT}  # do not wait for clients
        with ThreadPoolExecutor() as pool:
            for together in STOP_ORDER:
                names = [name for name in together if name in wanted]
                stopped = pool.map(lambda name: self.processes.stop(name, signals.get(name, signal.SIGTERM)), names)
                yield from (name for name, ran in zip(names, stopped, strict=True) if ran)

    def remove(self) -> None:
        """Delete all state, once nothing runs."""
        Postgres(self.state, 0, "", "").remove()
        shutil.rmtree(self.state, ignore_errors=True)


def module(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def command(argv: list[str], env: Mapping[str, str]) -> None:
    """Run to the end; raise StackError with the last lines when it fails."""
    ended = subprocess.run(argv, env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        tail = "\n".join(f"    {line}" for line in (ended.stdout + ended.stderr).splitlines()[-8:])
        raise StackError(f"`python {' '.join(argv[1:])}` failed:\n{tail}")


def _hash(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
