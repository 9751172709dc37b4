"""Look at the history before anything is started: `python -m dev.history`, which fails with a sentence. Used by `up`.

It lists the parts, and reads the first of them: whether they are Parquet and have the columns. The run reads them all.
"""

import sys

from pipeline import PipelineError, s3, source, web
from pipeline.settings import Settings

MOST = 64 << 20  # bytes read, which takes seconds
PATIENCE = (2, 60)  # of each try, to connect and to read: connecting takes less than for a run, as somebody waits


def main() -> int:
    for module in (s3, web):
        vars(module)["TIMEOUT"] = PATIENCE
    try:
        settings = Settings.read()
        left = MOST
        for part in source.parts(settings.source, settings.anonymous):
            left -= part.size
            if left < 0:
                break
            source.identified(part, settings.anonymous)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
