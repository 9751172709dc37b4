"""The analyst's tools: try rules and segments on a history, see which answers they change, and save them.

Used by the notebooks. They run on the pipeline's engine, so they count as a run does, without Postgres or Airflow. Only
`published` reads Postgres.
"""

from pipeline.workbench.bench import Workbench
from pipeline.workbench.comparison import published
from pipeline.workbench.counts import ALL, AMOUNT, ANSWER, changed
from pipeline.workbench.history import SAMPLE
from pipeline.workbench.trials import RuleWarning

__all__ = ["ALL", "AMOUNT", "ANSWER", "SAMPLE", "RuleWarning", "Workbench", "changed", "published"]
