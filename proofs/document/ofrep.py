"""Requests made from the document of OpenFeature's protocol: no 5xx, answers and refusals as it describes them.

The document is tests/ofrep/openapi.yaml. The service needs a key, which schemathesis sends, and omits to see a 401.
"""

from collections.abc import Sequence

from proofs.document import fuzz, ofrep_hooks
from proofs.document.fuzz import CASES, KEY, Result, fixtures, judge, table
from proofs.document.schemathesis_run import run_schemathesis
from proofs.publishing.running_stack import RunningStack
from proofs.support.environment import ROOT

__all__ = ["Result", "fixtures", "keys", "short", "table", "trial"]

DOCUMENT = ROOT / "tests" / "ofrep" / "openapi.yaml"
OPERATIONS = ("POST /ofrep/v1/evaluate/flags", "POST /ofrep/v1/evaluate/flags/{key}")
TRIALS, EXAMPLES = 10, 800


def keys(fixtures: RunningStack) -> list[tuple[str, int]]:
    return [("keyed", seed) for seed in range(TRIALS)]


def trial(fixtures: RunningStack, access: str, seed: int, examples: int = EXAMPLES) -> Result:
    """Run schemathesis once."""
    fixtures.serve(VOUCHER_API_KEYS=KEY)
    found = run_schemathesis(
        fixtures.address, OPERATIONS, seed, examples, KEY, document=str(DOCUMENT), hooks=ofrep_hooks.__name__
    )
    return judge(access, seed, OPERATIONS, found)


def short(results: Sequence[Result], cases: int = CASES) -> list[str]:
    """Return what is missing: cases, and evaluations or refusals of an operation."""
    return fuzz.untried(results, OPERATIONS, cases)
