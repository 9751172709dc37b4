"""The Python code of docs/growing.md, executed."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import Tables
from tests.conftest import API, ROOT, Bucket, as_role

PAGE = ROOT / "docs" / "growing.md"
(READING,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_rows_outside_postgres_are_read_as_the_page_says(
    database: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code reads the published run's rows only, even if another run loaded them. A run_id of digits stays text."""
    earlier, now, rejected = "1" * 16, "b" * 16, "c" * 16
    tables = Tables(database)
    tables.publish(earlier)
    tables.publish(now)
    loaded = {run: CleanedRows(database, run).part() for run in (earlier, now)}
    CleanedRows(database, now).execute(
        "INSERT INTO voucher.run_part VALUES (%(run)s, %(part)s, %(earlier)s)", part=loaded[earlier], earlier=earlier
    )
    for amount, (run, part) in enumerate([*loaded.items(), (rejected, 7)], start=1):
        pq.write_table(pa.table({"country_code": ["Peru", "Latvia"], "voucher_amount": [amount, 9]}), tmp_path / "part")
        bucket.put(f"cleaned/loaded_by={run}/{part}.parquet", tmp_path / "part")
    monkeypatch.setenv("API_DATABASE_URL", as_role(database, API))
    known: dict[str, Any] = {}
    exec(READING.replace("s3://bucket/cleaned/", f"s3://{bucket.name}/cleaned/"), known)
    peru = known["peru"]
    assert dict(zip(peru["loaded_by"], peru["voucher_amount"], strict=True)) == {earlier: 1, now: 2}
    assert re.search(r"Latvia +│ +2 │\n│ Peru +│ +2 │", capsys.readouterr().out)
