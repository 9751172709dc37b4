"""`python -m benchmarks [NAME …]`: run benchmarks in turn, all except LONG if none is named, and print their tables."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.pipeline import estimate, growth, pipeline
from benchmarks.service import service
from dev.processes import StackError
from pipeline import PipelineError

BENCHMARKS: Mapping[str, Callable[[Any], None]] = {
    "service": lambda options: service.run(options.source, options.quick),
    "pipeline": lambda options: pipeline.run(options.source, options.quick),
    "growth": lambda options: growth.run(options.rows, options.quick),
    "estimate": lambda options: estimate.run(options.quick),
}
LONG = ("growth", "estimate")  # 15 minutes and tens of GB; two minutes


def main() -> int:
    """Return 0 for any figures. If something fails, such as a wrong answer, print a line and return 1."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; by default all but {', '.join(LONG)}"
    )
    parser.add_argument("--source", type=Path, help="a history as Parquet; else a synthetic one, as always for growth")
    parser.add_argument("--rows", type=int, nargs="+", help="of growth: the sizes of the histories")
    parser.add_argument("--quick", action="store_true", help="see whether it works; the figures mean nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}, only {', '.join(BENCHMARKS)}")
    if min(options.rows or [1]) < 1:
        parser.error("--rows takes numbers from 1 upwards")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that no server stays behind
    try:
        for name in options.names or [name for name in BENCHMARKS if name not in LONG]:
            BENCHMARKS[name](options)
    except (StackError, PipelineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
