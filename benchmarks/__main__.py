"""`python -m benchmarks [NAME …]`: runs them one after another, all when none is named, and prints their tables."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import service
from dev.processes import StackError

BENCHMARKS: Mapping[str, Callable[[Path | None, bool], None]] = {"service": service.run}


def main() -> int:
    """0 whatever the figures are; 1 after a line that says what broke, as a wrong answer does."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all when none is given")
    parser.add_argument("--source", type=Path, help="a history as Parquet; the synthetic sample when none is given")
    parser.add_argument("--quick", action="store_true", help="see whether it works; the figures mean nothing")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}, only {', '.join(BENCHMARKS)}")
    try:
        for name in options.names or BENCHMARKS:
            BENCHMARKS[name](options.source, options.quick)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
