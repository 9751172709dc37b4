"""Look for the history before anything is started: `python -m dev.history`, which fails with a sentence.

Used by `up`.
"""

import sys

from pipeline import PipelineError, source
from pipeline.settings import Settings


def main() -> int:
    try:
        settings = Settings.read()
        source.parts(settings.source, settings.anonymous)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
