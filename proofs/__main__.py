"""Run a proof at full size: `python -m proofs NAME [--fresh]`.

Each finished trial is recorded in .local/proofs/NAME.jsonl, together with a hash of the code. An interrupted proof
resumes there.
"""

import argparse
import fcntl
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

from proofs import interrupts
from proofs.document import fuzz, generated, ofrep
from proofs.evidence import coverage, effects, lottery
from proofs.parts import dask, parts
from proofs.publishing import crash, notices, readers, rollback, runs
from proofs.secrets import secrets
from proofs.service import campaign, container, requests, service, soak
from proofs.support.environment import ROOT

PROOFS = {
    "campaign": campaign,
    "clients": generated,
    "container": container,
    "coverage": coverage,
    "crash": crash,
    "dask": dask,
    "effects": effects,
    "fuzz": fuzz,
    "interrupts": interrupts,
    "lottery": lottery,
    "notices": notices,
    "ofrep": ofrep,
    "parts": parts,
    "readers": readers,
    "requests": requests,
    "rollback": rollback,
    "runs": runs,
    "secrets": secrets,
    "service": service,
    "soak": soak,
}
KEPT = ROOT / ".local" / "proofs"
CODE = (
    "pipeline",
    "app",
    "shared",
    "dev",
    "sample",
    "proofs",
    "tests/clients",
    "tests/ofrep",
    "requirements.lock",
    "docker/api.Dockerfile",
)


def code() -> str:
    """Return a hash of all files that a proof depends on, committed or not."""
    files = [path for name in CODE for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file()]
    found = {str(path.relative_to(ROOT)): path.read_bytes() for path in files if "__pycache__" not in path.parts}
    return sha256(b"".join(name.encode() + sha256(found[name]).digest() for name in sorted(found))).hexdigest()[:12]


def recorded(proof: Any, path: Path, made_with: str) -> Iterator[Any]:
    """Yield the results recorded for this code."""
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["code"] == made_with:
            yield proof.Result(**{name: _frozen(value) for name, value in record["result"].items()})


def prove(name: str, file: TextIO, **size: float) -> int:
    """Run the trials that are not recorded. Return 0 if none has a fault. `size` is passed to the proof's `keys`."""
    proof, made_with = PROOFS[name], code()
    results = list(recorded(proof, Path(file.name), made_with))
    print(f"code {made_with}: {len(results)} trials on record in {file.name}", flush=True)
    with proof.fixtures(KEPT / name) as fixtures:
        keys = proof.keys(fixtures, **size)
        todo = [key for key in keys if key not in {each.key for each in results}]
        began = time.monotonic()
        for done, key in enumerate(todo, start=1):
            result = proof.trial(fixtures, *key)
            results.append(result)
            print(json.dumps({"code": made_with, "result": asdict(result)}), file=file, flush=True)
            left = timedelta(seconds=round((time.monotonic() - began) / done * (len(todo) - done)))
            words = "; ".join(result.faults) or "ok"
            print(f"[{len(keys) - len(todo) + done}/{len(keys)}, {left} to go]", *key, words, flush=True)
    faults = [f"{each.key}: {fault}" for each in results for fault in each.faults] + proof.short(results)
    print("", proof.table(results), "", *(faults or ["proved"]), sep="\n")
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser("make prove", description=__doc__)
    parser.add_argument("name", nargs="?", choices=PROOFS, metavar="NAME", help=", ".join(PROOFS))
    parser.add_argument("--fresh", action="store_true", help="forget the trials on record")
    parser.add_argument("--minutes", type=float, help="of soak, when not its full 30")
    options = parser.parse_args()
    if options.minutes and options.name != "soak":
        parser.error("--minutes is for soak")
    if not options.name:
        for name, proof in PROOFS.items():
            print(f"make prove {name:10s} {' '.join(str(proof.__doc__).split('.')[0].split())}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))  # so that no process stays behind
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{options.name}.jsonl").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser.error(f"{options.name} is being proved already")
        if options.fresh:
            file.truncate(0)
        return prove(options.name, file, **({"minutes": options.minutes} if options.minutes else {}))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main())
