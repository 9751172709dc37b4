"""The whole loop: answers by lottery, their outcomes in the history, what they teach, and answers that follow it."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from dev.ports import free_port
from dev.processes import until
from dev.services.airflow import Airflow
from dev.services.airflow_client import Client
from dev.services.s3 import S3
from proofs.support.checkout import copy_checkout
from proofs.support.served import served
from tests.conftest import PIPELINE, ROOT, as_role
from tests.pipeline.conftest import history

pytestmark = pytest.mark.long

DAG, BUCKET = "Voucher_Select", "loop"
TRUTH = {880: 0.1, 1760: 0.3, 2640: 0.32, 5720: 0.4}  # the share of customers who redeem each amount
SENT = {880: 20, 1760: 60, 2640: 90, 5720: 30}  # before the lottery
LOTTERY = '[lottery]\nshare = 0.6\nsalt = "loop"\n\n[holdout]\nshare = 0.04\n\n'
CUSTOMER = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 7}
ROW = {"total_orders": "7", "country_code": "Peru"}
DATES = [str(datetime(2020, 5, 1, 12, tzinfo=UTC) + timedelta(days=day)) for day in range(30)]
ORDERS = {"last_order_ts": "2020-04-15 00:00:00", "first_order_ts": "2020-03-01 00:00:00"}
CUSTOMERS = 9000


class Loop:
    """A checkout whose segments.toml has a lottery, with its own Airflow, source and database."""

    def __init__(self, checkout: Path, airflow: Airflow, s3: S3, environ: dict[str, str]) -> None:
        self.checkout, self.airflow, self.s3, self.environ = checkout, airflow, s3, environ
        self.client, self.url = Client(airflow.url, DAG), ""

    def put(self, name: str, rows: pa.Table) -> None:
        pq.write_table(rows, self.checkout / name)
        self.s3.put(BUCKET, f"history/{name}", self.checkout / name)

    def choose(self, how: str) -> None:
        """Let the kind that measures orders choose in this way."""
        segments = self.checkout / "pipeline" / "segments.toml"
        orders = 'measure = "total_orders"'
        segments.write_text(segments.read_text().replace(orders, f'{orders}\nchoose = "{how}"'))

    def plan(self) -> str:
        words = [sys.executable, "-m", "pipeline", "plan"]
        return subprocess.run(
            words, env=self.environ, cwd=self.checkout, check=True, capture_output=True, text=True
        ).stdout

    def publish(self) -> None:
        """Run the DAG, and wait until the API answers from what it published."""
        before, run = self.run_id(), self.client.trigger()
        assert until(lambda: self.client.run(run)["state"] == "success", 120), self.client.tasks(run)
        assert until(lambda: self.run_id() != before, 30)

    def run_id(self) -> str:
        return str(requests.get(f"{self.url}/readyz", timeout=5).json()["run_id"])

    def readme(self, redeemed: list[int]) -> pd.DataFrame:
        """Run the loop in README for all customers, and return the rows that it wrote."""
        code = re.search(r"## Learn what works.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        assert code
        program = code[1].replace("http://localhost:8000", self.url).replace("history/", f"{self.checkout}/")
        customers = [CUSTOMER | ORDERS | {"customer_id": customer} for customer in range(CUSTOMERS)]
        exec(program, {"customers": customers, "redeemed": redeemed})
        return pd.read_parquet(self.checkout / "2027-03-01.parquet")

    def ask(self, *ids: int) -> list[dict[str, Any]]:
        body = [CUSTOMER | {"customer_id": customer} for customer in ids]
        return requests.post(f"{self.url}/vouchers?explain=true", json=body, timeout=60).json()  # type: ignore[no-any-return]


@pytest.fixture
def loop(tmp_path: Path, database: str, s3: S3) -> Iterator[Loop]:
    """Yield a loop with an Airflow that has published a first history, and an API that answers from it."""
    checkout = tmp_path / "checkout"
    copy_checkout(checkout)
    segments = checkout / "pipeline" / "segments.toml"
    segments.write_text(LOTTERY + segments.read_text())
    s3.create(BUCKET)
    airflow = Airflow(tmp_path, free_port(), checkout / "pipeline" / "dags", secret="a secret for this test only" * 4)
    own = {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1", "VOUCHER_SOURCE": f"s3://{BUCKET}/history/"}
    environ = os.environ | s3.environment | own | {"PIPELINE_DATABASE_URL": as_role(database, PIPELINE)}
    found = Loop(checkout, airflow, s3, environ)
    sent = [(float(amount), DATES[number % 12]) for amount, rows in SENT.items() for number in range(rows)]
    found.put("before.parquet", history(*(ROW | {"voucher_amount": amount, "timestamp": day} for amount, day in sent)))
    airflow.migrate(environ)
    try:
        airflow.start(environ)
        assert until(found.client.known, 60), found.client.import_errors()
        found.client.pause(False)
        assert until(lambda: [run["state"] for run in found.client.runs()] == ["success"], 120), found.client.runs()
        with served(database) as found.url:
            yield found
    finally:
        airflow.stop()


def test_answers_teach_what_works(loop: Loop) -> None:
    """Answers by lottery become rows with a propensity and an outcome; the next run tells each amount's effect, and a
    kind that chooses the cheapest effect answers another amount, as `plan` shows before.
    """
    answers = loop.ask(*range(CUSTOMERS))
    assert {answer["chosen_by"] for answer in answers} == {"table", "lottery", "holdout"}
    by_table = next(customer for customer, answer in enumerate(answers) if answer["chosen_by"] == "table")
    assert answers[by_table]["voucher_amount"] == 2640

    draw = random.Random(5)
    redeemed = [customer for customer, answer in enumerate(answers) if draw.random() < TRUTH[answer["voucher_amount"]]]
    rows = loop.readme(redeemed)
    assert rows["voucher_amount"].tolist() == [answer["voucher_amount"] for answer in answers]
    assert rows["propensity"].tolist() == [answer["propensity"] for answer in answers]
    loop.put("answers.parquet", pa.Table.from_pandas(rows.assign(timestamp=draw.choices(DATES, k=len(rows)))))
    loop.publish()

    found = requests.get(f"{loop.url}/effects", params={"country": "peru"}, timeout=10).json()
    effects = {row["voucher_amount"]: row for row in found["effects"] if row["segment_name"] == "frequent_segment"}
    assert {row["evidence"] for row in effects.values()} == {"effect"}
    assert {amount for amount, row in effects.items() if row["share_low"] <= TRUTH[amount] <= row["share_high"]} == {
        *TRUTH
    }
    assert loop.ask(by_table)[0]["voucher_amount"] == 2640

    loop.choose("cheapest_effect")
    assert "1 of 10 answers differ" in (planned := loop.plan())
    assert "1760 (by effect, " in planned
    assert "holdout 4 %, lottery 60 %, table 36 %" in planned
    assert re.search(r"Peru +frequent_segment +best by outcome +[\d,]+ +\d+\.\d% \(", planned), planned
    assert loop.ask(by_table)[0]["voucher_amount"] == 2640

    loop.publish()
    (answer,) = loop.ask(by_table)
    assert (answer["voucher_amount"], answer["basis"], answer["runner_up_amount"]) == (1760, "effect", 2640)
    assert "1760 is chosen by its effect" in answer["because"]
