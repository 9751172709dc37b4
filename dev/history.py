"""Look at the history before anything is started: `python -m dev.history`, which fails with a sentence. Used by `up`.

It lists the parts, and reads the first of them: whether they are Parquet and have the columns. The run reads them all.
"""

import sys

from pipeline import PipelineError
from pipeline.settings import Settings
from pipeline.source import copies, https, s3
from pipeline.source.parts import list_parts

MOST = 64 << 20  # bytes read, which takes seconds
PATIENCE = (2, 60)  # of each try, to connect and to read: connecting takes less than for a run, as somebody waits


def main() -> int:
    for module in (s3, https):
        vars(module)["TIMEOUT"] = PATIENCE
    try:
        settings = Settings.read()
        left = MOST
        for part in list_parts(settings.source, settings.anonymous):
            left -= part.size
            if left < 0:
                break
            copies.inspect(part, settings.anonymous)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
