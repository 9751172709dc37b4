"""A stack under load, and how its readers see a publish. Used by the proofs `readers` and `rollback`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proofs.publishing.api_readers import Readers, Report
from proofs.publishing.running_stack import RunningStack


@dataclass(frozen=True)
class Move:
    """A publish as the readers saw it: seconds until the last connection was answered from the run, since the commit
    and since the command's start.
    """

    from_commit: float
    from_start: float
    report: Report
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Watched:
    """A stack under load."""

    stack: RunningStack
    readers: Readers

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Watched"]:
        with RunningStack.open(folder) as stack, stack.readers(processes=2) as readers:
            stack.settle()
            readers.report()
            yield cls(stack, readers)

    def report(self) -> Report:
        return self.readers.report().judged(self.stack.histories())

    def move(self, command: Callable[..., object], *arguments: object) -> Move:
        """Run a command that publishes. Every connection has to see it as one switch to the new run."""
        started = time.time()
        command(*arguments)
        answers, histories = self.stack.settle(), self.stack.histories()
        report = self.readers.report().judged(histories)
        ((run_id, at),) = self.stack.query(
            "SELECT run_id, date_part('epoch', at) FROM voucher.publication ORDER BY at DESC LIMIT 1"
        )
        seen = [[run for _, run in switches] for switches in report.switches]
        faults = [f"a connection saw {each}, when run {run_id} was published" for each in seen if each != [run_id]]
        if answers != {(run_id, histories[run_id])}:
            faults.append(f"the answers after run {run_id} was published are {sorted(answers)}")
        last = max((moment for switches in report.switches for moment, _ in switches), default=float("inf"))
        return Move(last - at, last - started, report, tuple(faults))
