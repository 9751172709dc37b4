"""A published run with a lottery and a holdout, the service with several workers, and the definition of the lottery.

Used by the proof `lottery`.
"""

import http.client
import os
import secrets
import shutil
from contextlib import closing
from datetime import date
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq

from app.published.lottery import Draw
from dev.ports import free_port
from dev.processes import Processes
from dev.services.api import Service
from dev.services.postgres import Postgres
from pipeline import run
from pipeline.rules.segments import SEGMENTS_FILE
from pipeline.settings import Settings
from proofs.publishing.api_readers import connections
from proofs.support.environment import API, PIPELINE, as_role, migrate, scrub
from sample.history import sample

TODAY, KIND, WORKERS = date(2020, 6, 10), "frequent_segment", 3
HELD, SHARE, SALT, PERU = Fraction("0.05"), Fraction("0.2"), "spring", (Decimal(1760), Decimal("2640.5"), Decimal(4400))
FILE = """[lottery]
share = {share}
salt = "{salt}"
amounts = {{ PERU = [{amounts}] }}

[holdout]
share = {held}

"""
ORDERS = {"0-4": 2, "5-13": 7, "14-37": 20, "38+": 40}
Arm = tuple[str, Decimal, Fraction]  # how the amount came about, the amount, and its probability
DRAWS = """SELECT country_code, segment_name, segment, position, chosen_by, voucher_amount, tickets, salt
    FROM voucher.draw JOIN voucher.current_run USING (run_id) WHERE segment_name = %s ORDER BY position"""


class Served:
    """A published run with a lottery, and the service with several workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._postgres = Postgres(folder, free_port(), secrets.token_hex(8), secrets.token_hex(8), durable=False)
        self.service = Service(folder, free_port())
        self.draws: dict[tuple[str, str], list[Draw]] = {}

    def open(self) -> None:
        """Start everything. First remove what an earlier one left in the folder."""
        scrub()
        self.close()
        self._folder.mkdir(parents=True)
        self._postgres.start()
        migrate(self._postgres.url())
        self._history = sample()
        self.publish(self._history, SALT)
        self.restart()

    def close(self) -> None:
        Processes(self._folder).stop("api")
        self._postgres.stop()
        self._postgres.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, history: pa.Table, salt: str) -> None:
        pq.write_table(history, self._folder / "history.parquet")
        file = self._folder / "segments.toml"
        lottery = FILE.format(share=float(SHARE), salt=salt, amounts=", ".join(map(str, PERU)), held=float(HELD))
        file.write_text(lottery + SEGMENTS_FILE.read_text())
        url = as_role(self._postgres.url(), PIPELINE)
        with patch.object(run, "SEGMENTS_FILE", file):
            run.run(Settings(source=str(self._folder / "history.parquet"), database_url=url, today=TODAY), "proof")
        with closing(psycopg2.connect(self._postgres.url())) as connection, connection.cursor() as cursor:
            cursor.execute(DRAWS, [KIND])
            self.draws = {}
            for row in cursor.fetchall():
                draw = Draw(*row)
                self.draws.setdefault((draw.country_code, draw.segment), []).append(draw)

    def publish_again(self, salt: str) -> None:
        """Publish a run of a history with other rows, and restart the service, which then answers from it."""
        self.publish(self._history.slice(5_000), salt)
        self.restart()

    def restart(self) -> None:
        Processes(self._folder).stop("api")
        environ = {"API_DATABASE_URL": as_role(self._postgres.url(), API), "VOUCHER_WORKERS": str(WORKERS)}
        self.service.start(os.environ | environ, "")

    def workers(self) -> list[http.client.HTTPConnection]:
        """Return two connections to each worker."""
        server = Processes(self._folder).running("api")
        assert server, "the service does not run"
        return [each for found in connections(self.service.port, server.pid, each=2).values() for each in found]

    def arm(self, number: int, salt: str = SALT) -> Arm:
        """Return what this customer gets, by the definition alone."""
        country, segment, customer_id, _ = customer(number)
        draws = self.draws[country, segment]
        amounts = [draw.voucher_amount for draw in draws if draw.chosen_by == "lottery"]
        [table] = [draw.voucher_amount for draw in draws if draw.chosen_by == "table"]
        hashed = sha256(f"{salt}\x1f{customer_id}".encode()).digest()[:8]
        place = Fraction(int.from_bytes(hashed, "big"), 2**64)
        if place < HELD:
            chosen_by, amount = "holdout", min(amounts)
        elif place < HELD + SHARE:
            chosen_by, amount = "lottery", amounts[int((place - HELD) / SHARE * len(amounts))]
        else:
            chosen_by, amount = "table", table
        likely = HELD * (amount == min(amounts)) + (1 - HELD - SHARE) * (amount == table)
        return chosen_by, amount, likely + SHARE / len(amounts) * (amount in amounts)


def customer(number: int) -> tuple[str, str, str | int, dict[str, Any]]:
    """Return country, segment and id of a customer, and the request: an id is a number or a text."""
    country, segment = ("Peru", "Latvia")[number % 2], [*ORDERS][number // 2 % len(ORDERS)]
    customer_id = number if number % 3 else f"Müller-{number}"
    asked = {"customer_id": customer_id, "country_code": country, "total_orders": ORDERS[segment]}
    return country, segment, customer_id, asked | {"segment_name": KIND}
