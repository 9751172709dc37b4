"""The parts of the stack: their ports and secrets, and which of them it starts."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dev.modules import ROOT
from dev.ports import PORTS
from dev.processes import Processes, StackError
from dev.services.airflow import Airflow
from dev.services.api import Service
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from dev.stack.memory import DATABASE, Memory
from shared import files

SECRETS = {"postgres": 16, "owner": 16, "pipeline": 16, "api": 16, "airflow": 64}  # lengths in bytes


@dataclass(frozen=True)
class Parts:
    """The parts whose state is in the folder `state`, as the caller's environment `given` wants them."""

    state: Path
    given: Mapping[str, str]

    @cached_property
    def processes(self) -> Processes:
        return Processes(self.state)

    @cached_property
    def ports(self) -> dict[str, int]:
        """By variable: the port that the caller chose, now or earlier, or that of the running part, or the default."""
        return {variable: self._port(variable, name, default) for variable, (name, default) in PORTS.items()}

    def _port(self, variable: str, name: str, default: int) -> int:
        if chosen := self.memory.settings.get(variable):
            if not chosen.isdecimal() or not 0 < int(chosen) < 65536:
                raise StackError(f"{variable}={chosen} is not a port: a whole number from 1 to 65535.")
            return int(chosen)
        running = None if variable in self.memory.chosen else self.processes.running(name)
        return running.port if running and running.port else default

    @cached_property
    def secrets(self) -> dict[str, str]:
        """The secrets of this state folder, generated once. Secrets that an earlier version did not have are added."""
        path = self.state / "secrets.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        if missing := {name: secrets.token_hex(size) for name, size in SECRETS.items() if name not in kept}:
            self.state.mkdir(parents=True, exist_ok=True)
            files.replace(path, json.dumps(kept | missing), 0o600)
        return dict(kept | missing)

    @cached_property
    def memory(self) -> Memory:
        known = self.secrets.values() if self.state.exists() else ()  # reading the settings generates no secrets
        return Memory(self.state / "env", self.given, tuple(known))

    @cached_property
    def postgres(self) -> Postgres:
        return Postgres(self.state, self.ports["POSTGRES_PORT"], self.secrets["owner"], self.secrets["postgres"])

    @cached_property
    def s3(self) -> S3:
        return S3(self.state, self.ports["S3_PORT"])

    @cached_property
    def airflow(self) -> Airflow:
        return Airflow(self.state, self.ports["AIRFLOW_PORT"], ROOT / "pipeline" / "dags", self.secrets["airflow"])

    @cached_property
    def api(self) -> Service:
        keys = self.memory.settings.get("VOUCHER_API_KEYS", "").split(",")
        return Service(self.state, self.ports["API_PORT"], keys[0].strip())

    @property
    def own_postgres(self) -> bool:
        """Whether the stack starts Postgres: the caller names no other database."""
        url = self.memory.settings.get(DATABASE, "")
        return not url or self.secrets["owner"] in url

    @property
    def own_s3(self) -> bool:
        """Whether the stack starts the S3 stand-in: the source is in it."""
        return self.memory.in_stand_in
