"""A large part takes no more memory than VOUCHER_MEMORY_MIB says."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import ROOT

LIMIT = 768  # MiB, the least there is
ROWS = 3_000_000
RUN = """
import sys
from benchmarks.memory import peak
from pipeline.__main__ import main
assert main(["run", "--source", sys.argv[1]]) == 0
print(peak())
"""


def test_a_large_part_is_loaded_within_the_limit(sample_file: Path, tmp_path: Path, pipeline_database: str) -> None:
    """Three million rows in one file, the most that the process took at any time."""
    rows = pq.read_table(sample_file)
    path = tmp_path / "large.parquet"
    pq.write_table(pa.concat_tables([rows] * -(-ROWS // rows.num_rows)).slice(0, ROWS), path)
    environ = os.environ | {"PIPELINE_DATABASE_URL": pipeline_database, "VOUCHER_MEMORY_MIB": str(LIMIT)}
    ended = subprocess.run([sys.executable, "-c", RUN, path], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"load: {ROWS:,} rows in" in ended.stdout
    assert float(ended.stdout.splitlines()[-1]) < LIMIT
