"""Run schemathesis on a service, and read from its report the requests, the answers and the failed checks.

Used by the proofs `fuzz` and `ofrep`.
"""

import json
import os
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proofs.document import schemathesis_hooks
from proofs.support.environment import ROOT

EXCEPT = "positive_data_acceptance"
OTHER = "any other method"  # not in the document
PROBLEM, JSON = "application/problem+json", "application/json"
TOLD = (b'"voucher_amount":', b'"reason":"')  # in an answer, and in an evaluation of the flag


@dataclass
class Verdicts:
    """What a run of schemathesis found.

    answered: by operation and status; told: the vouchers, by operation and the segment kind that the answer names;
    checks: by operation, name and outcome; cases: a fingerprint of each request, so that a repeated one counts once.
    """

    operations: Collection[str]
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    checks: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cases: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def read(self, report: Path) -> None:
        ended = "without a word"
        for line in report.read_bytes().splitlines() if report.exists() else ():
            kind, said = json.loads(line).popitem()
            if kind == "ScenarioFinished":
                self._read(said["recorder"])
            elif kind.endswith("Error"):
                self.faults.append(f"schemathesis met an error: {said}")
            elif kind == "EngineFinished":
                ended = said["stop_reason"]
        if ended != "completed":
            self.faults.append(f"schemathesis ended {ended}")

    def _read(self, scenario: dict[str, Any]) -> None:
        for case, interaction in scenario.get("interactions", {}).items():
            drawn = scenario["cases"][case]["value"]
            named = f"{drawn['method']} {drawn['path']}"
            operation = named if named in self.operations else OTHER
            self._answer(operation, interaction["request"], interaction.get("response"))
            self._checks(operation, scenario["checks"].get(case, ()))

    def _answer(self, operation: str, request: dict[str, Any], response: dict[str, Any] | None) -> None:
        path, media_type = request["uri"].split("/", 3)[3], request["headers"].get("Content-Type")
        asked = (request["method"], f"/{path}", media_type, _body(request.get("body")))
        self.cases.add(sha256(repr(asked).encode()).hexdigest()[:10])
        if response is None:
            self.faults.append(f"no answer to {asked}")
            return
        status, headers = response["status_code"], response["headers"]
        self.answered[operation, status] += 1
        own_form = path.startswith("ofrep/") and status in (400, 404)  # of OpenFeature's protocol
        if status >= 500 or (status >= 400 and headers.get("content-type") != [JSON if own_form else PROBLEM]):
            self.faults.append(f"{status}, {headers.get('content-type')}, to {asked}")
        if status == 200 and operation.startswith("POST "):
            kind = headers.get("voucher-segment", [""])[0].partition(" ")[0]
            content = _body(response.get("content"))
            self.told[operation, kind] += sum(content.count(each) for each in TOLD)

    def _checks(self, operation: str, checks: Sequence[dict[str, Any]]) -> None:
        for check in checks:
            self.checks[operation, check["name"], check["status"]] += 1
            if check["status"] != "success":
                self.faults.append(f"{operation}: {json.dumps(check)}")


def _body(encoded: dict[str, str] | None) -> bytes:
    return b64decode(encoded["$base64"]) if encoded else b""


def run_schemathesis(
    address: str,
    operations: Collection[str],
    seed: int,
    examples: int,
    key: str = "",
    *,
    document: str = "",
    hooks: str = schemathesis_hooks.__name__,
) -> Verdicts:
    """Run all phases and all checks except EXCEPT. `examples` limits the cases for each operation.

    document: the path of an OpenAPI document; else the service's own.
    """
    verdicts = Verdicts(operations)
    with TemporaryDirectory() as folder:  # for its cache, which the next run must not find
        report = Path(folder) / "report.ndjson"
        options = {
            "--checks": "all",
            "--exclude-checks": EXCEPT,
            "--max-examples": str(examples),
            "--seed": str(seed),
            "--generation-database": "none",
            "--report": "ndjson",
            "--report-ndjson-path": str(report),
            **({"--header": f"Authorization: Bearer {key}"} if key else {}),
            **({"--url": address} if document else {}),
        }
        flags = ("--generation-unique-inputs", "--continue-on-failure", "--no-color")
        words = (*(word for option in options.items() for word in option), *flags)
        called = [sys.executable, "-m", "schemathesis.cli", "run", document or f"{address}/openapi.json", *words]
        environ = os.environ | {"SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(called, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        verdicts.read(report)
    if ended.returncode and not verdicts.faults:
        verdicts.faults.append(f"schemathesis said {ended.returncode}: {ended.stdout[-500:]}{ended.stderr[-500:]}")
    return verdicts
