"""From a history of voucher assignments in S3 to the published tables that the service answers from."""

SAMPLE_MARK = (b"voucher-select", b"built-in sample")  # in the Parquet metadata of what dev/sample.py writes


class PipelineError(Exception):
    """What went wrong, with the value at fault and the way out, in one line. Its subclasses stand beside what raises
    them.

    `passing` tells whether trying again may help (a server is away) or not (the data or the rules must change first).
    """

    passing = False
