"""Two published runs on a real Postgres, one with a lottery, customers, and the answers of each run to them.

Used by `service`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2

from app.published.lottery import Draw, Lottery
from benchmarks.reference.flask_psycopg2 import STATEMENT
from dev.ports import free_port
from dev.processes import StackError
from dev.services.postgres import Postgres
from pipeline import run
from pipeline.publish.database import Database
from pipeline.publish.publication import current, roll_back
from pipeline.rules.segments import SEGMENTS_FILE
from pipeline.settings import Settings

DAYS = (date(2020, 6, 10), date(2020, 7, 10))  # TODAY of the two runs; most recency customers change their segment
ORDERS = (0, 3, 4, 5, 13, 14, 37, 38, 200)
WAITS = (5, 29, 30, 61, 90, 91, 150, 200)  # days from the last order to the first of DAYS
LOTTERY = """[lottery]
share = 0.3
salt = "benchmark"

[holdout]
share = 0.05

"""
DRAWS = f"""SELECT country_code, segment_name, segment, position, chosen_by, draw.voucher_amount, tickets, salt
    FROM ({STATEMENT.replace("SELECT voucher_amount", "SELECT run_id, country_code, segment_name, segment")}) AS found
        JOIN voucher.draw USING (run_id, country_code, segment_name, segment)"""

Customer = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """`answers` holds, by run_id, the amount of each customer, in order. The newest run is the last."""

    database: str
    customers: list[Customer]
    answers: Mapping[str, list[float]]

    @property
    def newest(self) -> list[float]:
        return list(self.answers.values())[-1]

    def move(self) -> None:
        """Publish the other run."""
        database = Database(self.database)
        [other] = set(self.answers) - {current(database)}
        roll_back(database, other, "benchmarks", "the pointer moves under load")


@contextmanager
def published(folder: Path, source: Path | None) -> Iterator[tuple[Published, Published]]:
    """Yield two runs that the pipeline has published, of which the second is current, and that one with a lottery.

    Raise StackError if it fails.
    """
    postgres = Postgres(folder, free_port(), "benchmark", "admin")
    try:
        postgres.start()
        url = postgres.url()
        if source is None:
            source = folder / "sample.parquet"
            _python("sample", str(source))
        _python("pipeline", "migrate", DATABASE_URL=url)
        answers = {}
        for day in DAYS:
            _python("pipeline", "run", "--source", str(source), DATABASE_URL=url, TODAY=str(day))
            customers, run_id = _customers(url), current(Database(url))
            answers[str(run_id)] = _answers(url, customers)
        if len({tuple(amounts) for amounts in answers.values()}) < len(DAYS):
            raise StackError(f"The runs of {' and '.join(map(str, DAYS))} answer alike: a mix would not be seen.")
        yield Published(url, customers, answers), _drawn(postgres, source, customers)
    finally:
        postgres.stop()
        postgres.remove()


def _customers(url: str) -> list[Customer]:
    """Return customers of every country and kind of segment, on the bounds and between them."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT country_code FROM voucher.segment ORDER BY country_code")
        countries = [country for (country,) in cursor.fetchall()]
    asked = [("frequent_segment", orders, 30) for orders in ORDERS] + [("recency_segment", 15, days) for days in WAITS]
    return [
        {
            "customer_id": number,
            "country_code": country,
            "last_order_ts": f"{DAYS[0] - timedelta(days)} 00:00:00",
            "first_order_ts": f"{DAYS[0] - timedelta(days + 365)} 00:00:00",
            "total_orders": orders,
            "segment_name": kind,
        }
        for number, (country, (kind, orders, days)) in enumerate(product(countries, asked))
    ]


def _drawn(postgres: Postgres, source: Path, customers: list[Customer]) -> Published:
    """Publish the newest run with a lottery, by another segments.toml than the pipeline's own."""
    postgres.create("lottery")
    url, file = postgres.url("lottery"), postgres.folder / "segments.toml"
    file.write_text(LOTTERY + SEGMENTS_FILE.read_text())
    _python("pipeline", "migrate", DATABASE_URL=url)
    with patch.object(run, "SEGMENTS_FILE", file):
        run_id = run.run(Settings(source=str(source), database_url=url, today=DAYS[-1]), "benchmarks")
    amounts = []
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for customer in customers:
            cursor.execute(DRAWS, customer)
            lottery = Lottery(Draw(*row) for row in cursor.fetchall())
            amounts.append(float(lottery.draw(str(customer["customer_id"])).voucher_amount))
    if amounts == _answers(url, customers):
        raise StackError("With the lottery, every customer gets the table's amount.")
    return Published(url, customers, {run_id: amounts})


def _answers(url: str, customers: list[Customer]) -> list[float]:
    amounts = []
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for customer in customers:
            cursor.execute(STATEMENT, customer)
            [(amount,)] = cursor.fetchall()
            amounts.append(float(amount))
    return amounts


def _python(module: str, *words: str, **environ: str) -> None:
    command = [sys.executable, "-m", module, *words]
    ended = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StackError(f"`python -m {module} {words[0]}` failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
