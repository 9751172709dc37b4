"""What an audit is: a check between loading a run and publishing it, and its outcome."""

from dataclasses import dataclass
from typing import Literal

MEND_RULES = (
    "Correct the data or, if it is right, the rule and its share in notebooks/02_cleaning_rules.ipynb; then run again"
)
FORCE = (
    "If this is intended, publish it in spite of the audit: `python -m pipeline run --force REASON`, or the DAG's "
    "parameter force"
)


@dataclass(frozen=True)
class Audit:
    """One check, a SQL statement that returns a line of text for each failing row of the run.

    expected: in words. remedy: what to do if it fails; not shown for a warning. failing_rows: the SQL, which gives one
    text column, with %(run_id)s and, for an audit that `compares`, %(published)s, which is never NULL; "%%" is a
    percent sign.
    """

    name: str
    expected: str
    remedy: str
    failing_rows: str
    severity: Literal["fail", "warn"] = "fail"
    compares: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an audit found. `seen` is one line; `without_rows` is the same without example rows of the history.

    A skipped audit counts as passed.
    """

    audit: Audit
    passed: bool
    seen: str
    skipped: bool = False
    without_rows: str = ""

    @property
    def failed(self) -> bool:
        """Whether it keeps the run from being published."""
        return not self.passed and self.audit.severity == "fail"

    @property
    def fault(self) -> str:
        """What was expected, what was seen, and what to do, in one line."""
        return f"{self.audit.name}: {self.seen}; expected: {self.audit.expected}. {self.audit.remedy}"

    @property
    def word(self) -> str:
        """The outcome in a word: skipped, passed, warned or FAILED."""
        if self.passed:
            return "skipped" if self.skipped else "passed"
        return "FAILED" if self.failed else "warned"
