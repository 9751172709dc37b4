"""Memory: a large part takes no more than VOUCHER_MEMORY_MIB."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.evaluate import engine
from pipeline.evaluate.totals import aggregate
from pipeline.rules.rulebook import RuleBook
from pipeline.rules.segments import SegmentBook
from tests.conftest import ROOT
from tests.pipeline.conftest import history

LIMIT = 768  # MiB, the smallest allowed value
ROWS = 3_000_000
RUN = """
import sys
from benchmarks.pipeline.memory import peak
from pipeline.__main__ import main
assert main(["run", "--source", sys.argv[1]]) == 0
print(peak())
"""


@pytest.mark.long
def test_a_large_part_is_loaded_within_the_limit(sample_file: Path, tmp_path: Path, pipeline_database: str) -> None:
    """The peak memory of a run on one file of three million rows is below VOUCHER_MEMORY_MIB."""
    rows = pq.read_table(sample_file)
    path = tmp_path / "large.parquet"
    pq.write_table(pa.concat_tables([rows] * -(-ROWS // rows.num_rows)).slice(0, ROWS), path)
    environ = os.environ | {"PIPELINE_DATABASE_URL": pipeline_database, "VOUCHER_MEMORY_MIB": str(LIMIT)}
    ended = subprocess.run([sys.executable, "-c", RUN, path], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"load: {ROWS:,} rows in" in ended.stdout
    assert float(ended.stdout.splitlines()[-1]) < LIMIT


def test_too_little_memory_is_named_with_the_way_out() -> None:
    """The error says to raise VOUCHER_MEMORY_MIB, both for a part and for the counts of all parts."""
    rows, rules, segments = history(*[{}] * 5000), RuleBook.load(), SegmentBook.load()
    little = engine.Limits(memory=1, threads=1)
    with (
        pytest.raises(engine.EngineError, match=r"monday\.parquet: .*; set VOUCHER_MEMORY_MIB higher, or TMPDIR"),
        engine.open_duckdb(little) as within,
        engine.evaluate(rows, rules, segments, within=within, name="monday.parquet") as part,
    ):
        part.tally()
    with engine.open_duckdb() as within, engine.evaluate(rows, rules, segments, within=within) as part:
        tally = part.tally()
    with pytest.raises(engine.EngineError, match=r"the counts of all parts: .*; set VOUCHER_MEMORY_MIB higher"):
        aggregate([tally] * 50_000, rules, segments, little)
