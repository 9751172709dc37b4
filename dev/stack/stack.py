"""The product on one machine: the settings of its parts, and how they are started and stopped."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dev.modules import ROOT, module, run_module
from dev.ports import PORTS, duplicates, taken
from dev.processes import StackError
from dev.services.airflow import PARTS
from dev.services.postgres import Postgres
from dev.stack.memory import API, DATABASE, DATABASES, KEPT_OF_AWS, OURS, PIPELINE, SOURCE, without
from dev.stack.parts import Parts
from shared import files
from shared.environment import VARIABLES

DAG = "Voucher_Select"
LOCAL = "127.0.0.1,localhost"  # reached without a proxy
ROTATION = "log-rotation"
STOP_ORDER = (("airflow-scheduler", "airflow-dags", "api"), ("airflow-api", "s3"), ("postgres",), (ROTATION,))
API_SETTINGS = [variable.name for variable in VARIABLES if variable.readers == ("api",)]
OF_NOTICES = {each.name for each in VARIABLES if each.name.startswith("VOUCHER_NOTIFY_")}
NOT_FOR_CHILDREN = ("AIRFLOW", "MAKE", "MFLAGS", "PYTHON", "TODAY")


@dataclass(frozen=True)
class Stack(Parts):
    """The parts with the settings that each gets, and what is running of them."""

    @cached_property
    def settings(self) -> dict[str, str]:
        """The settings of the product, as in .local/env."""
        local = ",".join(filter(None, (LOCAL, self.given.get("NO_PROXY") or self.given.get("no_proxy"))))
        return {
            **{name: value for name, value in self.memory.settings.items() if name.startswith(("VOUCHER_", "TODAY"))},
            **self._databases,
            **self.of_source(*KEPT_OF_AWS),
            **self.airflow.environment,
            "VOUCHER_AIRFLOW_URL": self.airflow.url,  # that of this stack, even if an earlier one had another port
            "VOUCHER_PAGE_URL": self.memory.page or self.api.url,
            "FLASK_APP": "app",
            **{"NO_PROXY": local, "no_proxy": local},
        }

    @property
    def _databases(self) -> dict[str, str]:
        """The URLs of the database, one for each role."""
        if not self.own_postgres:
            settings = self.memory.settings
            return {name: settings.get(name) or settings[DATABASE] for name in DATABASES}
        return {
            DATABASE: self.postgres.url(),
            PIPELINE: self.postgres.url(user="voucher_pipeline", password=self.secrets["pipeline"]),
            API: self.postgres.url(user="voucher_api", password=self.secrets["api"]),
        }

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment of a command that acts as the owner of the database."""
        return {**self.bare_environment, **self.settings, **self.of_source("AWS_")}

    @cached_property
    def bare_environment(self) -> dict[str, str]:
        """The caller's environment without settings of the product, with the stack's programs and code on its paths."""
        base = without(self.given, (*OURS, *NOT_FOR_CHILDREN))
        path = f"{Path(sys.executable).parent}{os.pathsep}{base.get('PATH', os.defpath)}"
        return {**base, "PATH": path, "PYTHONPATH": str(ROOT)}

    def of_source(self, *aws: str) -> dict[str, str]:
        """Return the settings that reading the source needs; `aws`: prefixes of those for another S3."""
        if self.own_s3:
            return {SOURCE: self.memory.source, "VOUCHER_S3_ANONYMOUS": "0", **self.s3.environment}
        return self.memory.of_source(*aws)

    def environment_with(self, database: str | None = None) -> dict[str, str]:
        """Return the environment of a process: it gets no database URL but its own. Only the API gets the API keys, and
        only the pipeline the receiver of notices.
        """
        own = {API: {API, "VOUCHER_API_KEYS"}, PIPELINE: {PIPELINE, *OF_NOTICES}}.get(database or "", {database})
        others = {*DATABASES, "VOUCHER_API_KEYS", *OF_NOTICES} - own
        return {name: value for name, value in self.environment.items() if name not in others}

    def write_env(self) -> None:
        """Write .local/env, which a shell sources to use the running stack from the command line."""
        programs = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
        self.memory.write(self.settings, programs, "unset PYTHONDONTWRITEBYTECODE")

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """By process: a hash of the settings that it has to be started with. If another is running, it is restarted."""
        api = [self.environment.get(name) for name in (API, "VOUCHER_ENV", *API_SETTINGS)]
        folders = (ROOT / "app", ROOT / "shared")
        code = [
            path.read_text() for each in folders for kind in ("*.py", "*.html") for path in sorted(each.rglob(kind))
        ]
        given = self.environment_with(PIPELINE)
        airflow = {name: value for name, value in given.items() if name.startswith((*OURS, "AIRFLOW"))}
        wanted = {"api": _hash(api, code, self.api.port), **dict.fromkeys(PARTS, _hash(airflow))}
        wanted |= {"postgres": self.postgres.settings} if self.own_postgres else {}
        return wanted | ({"s3": self.s3.settings} if self.own_s3 else {})

    def outdated(self) -> list[str]:
        """Return the names of the running processes that were started with other settings."""
        running = [process for name in self.fingerprints if (process := self.processes.running(name))]
        return [process.name for process in running if process.settings != self.fingerprints[process.name]]

    def check_ports(self) -> None:
        """Raise StackError if another process has a port that is needed, naming all of them."""
        ours = {process.port for name in self.fingerprints if (process := self.processes.running(name))}
        needed = {name: self.ports[name] for name, (part, _) in PORTS.items() if part in self.fingerprints}
        if problems := [*duplicates(needed), *taken(needed, ours)]:
            raise StackError("\n".join(problems))

    def rules_fingerprint(self) -> str:
        """Return a hash of what a run depends on: source, database, rules, segments and TODAY."""
        files = [(ROOT / "pipeline" / name).read_text() for name in ("rules.toml", "segments.toml")]
        names = ("VOUCHER_SOURCE", "DATABASE_URL", "TODAY", "AWS_ENDPOINT_URL_S3")
        return _hash([self.environment.get(name) for name in names], files)

    def check_settings(self) -> None:
        """Raise StackError if a setting has a value that its program can't read, naming all of them."""
        check = module("dev.stack.settings_check")
        env = {**self.environment, **self.memory.settings}  # also those that the stack would replace
        ended = subprocess.run(check, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            faults = [(fault, fault.partition(" ")[0].strip(":,")) for fault in ended.stderr.strip().splitlines()]
            raise StackError("\n".join(f"{fault} {self.memory.remedy(name)}".strip() for fault, name in faults))

    def check_source(self) -> None:
        """Raise StackError if the history cannot be read."""
        check = module("dev.stack.source_check")
        ended = subprocess.run(check, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise StackError(f"{ended.stderr.strip()}\nThe source is {self.memory.source_text}.")

    @property
    def has_run(self) -> bool:
        """Whether the last run had the same source, database, rules, segments and TODAY."""
        last = self.state / "last-run"
        return last.exists() and last.read_text() == self.rules_fingerprint()

    def record_run(self, fingerprint: str) -> None:
        files.replace(self.state / "last-run", fingerprint)

    def sample(self) -> Path:
        """Return the synthetic history, which is written again if the code that makes it has changed."""
        path, recipe = self.state / "sample.parquet", self.state / "sample.recipe"
        wanted = _hash([path.read_text() for path in sorted((ROOT / "sample").glob("*.*"))])
        if not path.exists() or not recipe.exists() or recipe.read_text() != wanted:
            new = path.with_suffix(".new")
            run_module(self.environment, "sample", str(new))
            new.replace(path)
            files.replace(recipe, wanted)
        return path

    def rotate_logs(self) -> None:
        """Start the process that rotates the logs, unless it runs."""
        if not self.processes.running(ROTATION):
            log = self.processes.log(ROTATION)
            self.processes.start(ROTATION, module("dev.stack.log_rotation", str(log.parent)), self.environment_with())

    def stop(self, wanted: Collection[str]) -> Iterator[str]:
        """Stop these parts, each before those that it needs. Yield the names of those that ran."""
        signals = {"postgres": signal.SIGINT}  # do not wait for clients
        with ThreadPoolExecutor() as pool:
            for together in STOP_ORDER:
                names = [name for name in together if name in wanted]
                stopped = pool.map(lambda name: self.processes.stop(name, signals.get(name, signal.SIGTERM)), names)
                yield from (name for name, ran in zip(names, stopped, strict=True) if ran)

    def remove(self) -> None:
        """Delete all state. Nothing may be running."""
        Postgres(self.state, 0, "", "").remove()
        shutil.rmtree(self.state, ignore_errors=True)


def _hash(*values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
