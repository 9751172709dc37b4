"""Check the history before anything is started: `python -m dev.stack.source_check`, which fails with a sentence.

It lists the parts and reads the first ones: are they Parquet, and do they have the columns? The run reads all.
"""

import sys

from pipeline import PipelineError
from pipeline.settings import Settings
from pipeline.source import copies, https, s3
from pipeline.source.parts import list_parts

MAX_BYTES = 64 << 20  # that are read, which takes seconds
TIMEOUT = (2, 60)  # seconds of each try, to connect and to read; a run waits longer for a connection


def main() -> int:
    for module in (s3, https):
        vars(module)["TIMEOUT"] = TIMEOUT
    try:
        settings = Settings.read()
        left = MAX_BYTES
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
