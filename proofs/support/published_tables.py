"""Write published runs as rows, without the pipeline: the tables are the contract."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg2
from psycopg2.extras import Json, execute_values

from app.published.effects import Effect, Policy
from app.published.lottery import Draw

RUN = "a" * 16
DAY = date(2018, 7, 15)  # the reference day of the pinned runs here
DATA_TO = datetime(2018, 7, 14, 21, tzinfo=UTC)  # the end of their history: years ago

# The kinds and bounds of segments.toml. Each segment has a different amount, so that a wrong segment is visible.
Bounds = tuple[str, int, int | None, Decimal | int]
FREQUENT: list[Bounds] = [("0-4", 0, 4, 1000), ("5-13", 5, 13, 1100), ("14-37", 14, 37, 1200), ("38+", 38, None, 1300)]
RECENCY: list[Bounds] = [
    ("0-29", 0, 29, 2000),
    ("30-60", 30, 60, 2100),
    ("61-90", 61, 90, 2200),
    ("91-120", 91, 120, 2300),
    ("121-180", 121, 180, 2400),
    ("180+", 181, None, 2500),
]
REST = 9000  # what the votes for other amounts than the two most used ones are above the most used one
KINDS = {"frequent_segment": ("total_orders", FREQUENT), "recency_segment": ("days_since_last_order", RECENCY)}


def described(measure: str) -> tuple[str, str, str]:
    """Return the request field, the unit and a title of a measure."""
    event = measure.removeprefix("days_since_")
    if event == measure:
        unit = measure.rpartition("_")[2]
        return measure, unit, f"Number of {unit}"
    return f"{event}_ts", "days", f"Days since the {event.replace('_', ' ')}"


@dataclass(frozen=True)
class Tables:
    """Writes the rows that the pipeline would write."""

    database: str

    def publish(
        self,
        run_id: str = RUN,
        *,
        today: date | None = DAY,
        countries: Mapping[str, int] = {"Peru": 30, "Latvia": 90, "São Tomé": 6},
        kinds: Mapping[str, tuple[str, Sequence[Bounds]]] = KINDS,
        basis: str = "segment",
        tied: bool = False,
        uses: int | None = None,
        runner_up: tuple[Decimal | int | None, int | None] = (None, None),
        evidence: tuple[int | None, float | None, float | None, bool | None] = (None, None, None, None),
        checked_at: datetime | None = None,
        data_to: datetime | None = DATA_TO,
        source: str = "s3://bucket/key",
        titles: Mapping[str, Mapping[str, str]] = {},
        status: str = "published",
        synthetic: Sequence[bool] = (),
        effects: Sequence[Effect] = (),
        policies: Sequence[Policy] = (),
        draws: Sequence[Draw] = (),
    ) -> None:
        """Write a run, and move the pointer to it if its status is `published`.

        `countries` has the number of rows in each segment of a country. Of these, `uses` have the segment's amount, by
        default all. `evidence` has sends, share_low, share_high and clear. `synthetic` has a value for each part:
        whether it is the built-in sample. `titles` has names of segments, by kind and label. `effects`, `policies` and
        `draws` are rows of these tables.
        """
        now = datetime.now(UTC)
        segments = [
            (
                run_id,
                country,
                kind,
                label,
                place,
                measure,
                lower,
                upper,
                amount,
                uses or rows,
                rows,
                *runner_up,
                basis,
                tied,
                *evidence,
            )
            for country, rows in countries.items()
            for kind, (measure, bounds) in kinds.items()
            for place, (label, lower, upper, amount) in enumerate(bounds)
        ]
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO voucher.run"
                " (run_id, source, rules_hash, segments_hash, today, data_to, started_at, planned_at, finished_at,"
                " status)"
                " VALUES (%s, %s, 'rules', 'segments', %s, %s, %s, %s, %s, %s)",
                (run_id, source, today, data_to, now, now, now, status),
            )
            execute_values(
                cursor,
                "INSERT INTO voucher.kind (run_id, position, segment_name, measure, field, unit, title, because,"
                " choose, segment_titles) VALUES %s",
                [
                    (run_id, place, kind, measure, *described(measure), "", "most_used", Json(titles.get(kind, {})))
                    for place, (kind, (measure, _)) in enumerate(kinds.items())
                ],
            )
            execute_values(
                cursor,
                "INSERT INTO voucher.segment (run_id, country_code, segment_name, segment, position, measure,"
                " lower_bound, upper_bound, voucher_amount, uses, rows, runner_up_amount, runner_up_uses, basis, tied,"
                " sends, share_low, share_high, clear)"
                " VALUES %s",
                segments,
            )
            votes = (
                (*row[:4], amount, given)
                for row in segments
                for amount, given in (
                    (row[8], row[9]),
                    (row[11], row[12]),
                    (row[8] + REST, row[10] - row[9] - (row[12] or 0)),
                )
                if given
            )
            execute_values(
                cursor,
                "INSERT INTO voucher.segment_vote (run_id, country_code, segment_name, segment, voucher_amount, uses)"
                " VALUES %s",
                list(votes),
            )
            execute_values(
                cursor,
                "WITH part AS"
                " (INSERT INTO voucher.part (uri, etag, size, sha256, synthetic) VALUES %s RETURNING part_id)"
                f" INSERT INTO voucher.run_part SELECT '{run_id}', part_id, '{run_id}' FROM part",
                [(f"{source}/{place}", run_id, 1, "sha", mark) for place, mark in enumerate(synthetic)],
            )
            for table, rows in (("effect", effects), ("policy", policies), ("draw", draws)):
                for columns in map(asdict, rows):
                    cursor.execute(
                        f"INSERT INTO voucher.{table} (run_id, {', '.join(columns)}) VALUES %s",
                        [(run_id, *columns.values())],
                    )
            if status == "published":
                self._point(cursor, run_id, checked_at or now)

    def point_to(self, run_id: str) -> None:
        with closing(psycopg2.connect(self.database)) as connection, connection, connection.cursor() as cursor:
            self._point(cursor, run_id, datetime.now(UTC))

    def _point(self, cursor: Any, run_id: str, checked_at: datetime) -> None:
        cursor.execute(
            "INSERT INTO voucher.current_run (run_id, published_at, checked_at, decided_at)"
            " VALUES (%s, now(), %s, now())"
            " ON CONFLICT (one_row) DO UPDATE SET (run_id, published_at, checked_at, decided_at) ="
            " (EXCLUDED.run_id, EXCLUDED.published_at, EXCLUDED.checked_at, EXCLUDED.decided_at)",
            (run_id, checked_at),
        )
