"""
### Voucher_Select: which voucher amount is used most for customers like this one?

Once a day, and when triggered:

1. **plan**: finds the history (`VOUCHER_SOURCE`: S3, https or a file), reads its identity (ETag, size, sha256) and
puts a run on
   record. The same data with the same rules is the same run.
2. **load**: types the columns, drops what the rules of `pipeline/rules.toml` name, writes the kept rows, the counts,
the votes and
   the segments to Postgres, under the run's own id, where no reader looks. Its log shows each rule's count.
3. **audit**: checks the run. When a rule's share leaves its band, this task is red, its log says which, and the
answers stay as
   they were.
4. **publish**: lets `POST /voucher` see the run, in one transaction.
5. **prune**: drops the rows of runs that nobody needs any more.

The rules are written by `notebooks/02_cleaning_rules.ipynb`: change them there. Retries and triggers are harmless:
nothing is doubled.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

from pipeline import PipelineError, run
from pipeline.settings import Settings


def attempt(step: Callable[..., Any], *arguments: str) -> Any:
    """Run a step; what trying again can't cure fails the task at once."""
    try:
        return step(Settings.read(), *arguments)
    except PipelineError as error:
        if error.passing:
            raise
        raise AirflowFailException(str(error)) from None


@dag(
    dag_id="Voucher_Select",
    schedule="@daily",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=int(os.environ.get("VOUCHER_RETRY_SECONDS", "30")))},
    doc_md=__doc__,
    tags=["voucher"],
)
def voucher_select() -> None:
    @task
    def plan() -> str:
        return str(attempt(run.plan))

    @task
    def load(planned: str) -> None:
        attempt(run.load, planned)

    @task
    def audit(planned: str) -> None:
        attempt(run.audit, planned)

    @task
    def publish(planned: str) -> None:
        attempt(run.publish, planned, "airflow")

    @task
    def prune() -> None:
        attempt(run.prune)

    planned = plan()
    load(planned) >> audit(planned) >> publish(planned) >> prune()  # type: ignore[arg-type]


dag_object = voucher_select()
