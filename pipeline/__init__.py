"""Turn a history of voucher assignments in S3 into the published tables that the service answers from."""

SAMPLE_MARK = (b"voucher-select", b"built-in sample")  # in the Parquet metadata of what sample/ writes


class PipelineError(Exception):
    """What went wrong, with the value and the remedy, in one line. Each subclass is defined where it is raised.

    `retryable` tells whether another try may help (a server is down) or not (the data or the rules must change).
    """

    retryable = False
