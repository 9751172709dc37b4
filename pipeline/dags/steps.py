"""Run the pipeline's steps in Airflow's tasks. Used by the DAG and by its task `approve`."""

import logging
from collections.abc import Callable
from typing import TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from pipeline import PipelineError, run
from pipeline.audits.runner import RunRejected
from pipeline.settings import Settings

log = logging.getLogger("pipeline")
R = TypeVar("R")


def attempt(step: Callable[..., R], *arguments: object, **options: object) -> R:
    """Run a step with the settings. An error that isn't retryable fails the task at once.

    Each failed audit is an error in the log, in a line of its own, so that Airflow's filter by level shows it.
    """
    try:
        return step(Settings.read(), *arguments, **options)
    except RunRejected as rejected:
        for failed in rejected.failed:
            log.error("audit: %s", failed.fault)
        raise AirflowFailException(rejected.summary) from None
    except PipelineError as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from None


def forced(planned: str) -> str | None:
    """Return the DAG run's reason to publish in spite of an audit, if it still holds."""
    return still_forced(planned, (get_current_context()["params"]["force"] or "").strip() or None)


def still_forced(run_id: str, reason: str | None) -> str | None:
    """Return the reason, or None if a newer run was published since it was given."""
    return None if reason and attempt(run.is_superseded, run_id) else reason
