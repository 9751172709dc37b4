"""SequentialExecutor for Airflow 3: one task at a time, in the order in which they become due.

Airflow 3 removed the executor of that name. It also replaces the text `SequentialExecutor` in its setting `[core]
executor` with `LocalExecutor`, which runs tasks in parallel; only a warning says so. So the setting must name this
alias, which Airflow leaves alone:

    AIRFLOW__CORE__EXECUTOR=pipeline.executors.Sequential

Loaded by Airflow's scheduler.
"""

from airflow.executors.local_executor import LocalExecutor


class SequentialExecutor(LocalExecutor):
    """A LocalExecutor with one worker, whatever `[core] parallelism` is."""

    def __init__(self, team_name: str | None = None) -> None:
        super().__init__(parallelism=1, team_name=team_name)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        self.log.info("%s runs one task at a time", self)
        super().start()


Sequential = SequentialExecutor
