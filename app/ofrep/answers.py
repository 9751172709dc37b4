"""The answers to one flag, `voucher`, from one run on one day, prepared as bytes. Used by `flag`.

Almost everything in an answer depends only on the segment and the choice. So the JSON is made once for each, in two
pieces, and an answer is: the first piece, the customer's number, the second piece.
"""

import json
from datetime import date
from typing import Any, NamedTuple

from app.published.lottery import Choice
from app.published.segment import Segment
from app.published.snapshot import Snapshot
from app.voucher.routes import headers
from app.voucher.sentence import because

KEY = "voucher"
MAX_PREPARED = 20_000  # about 1 kB each; 100 countries with a lottery of five amounts have 14,000

Headers = list[tuple[str, str]]


class Prepared(NamedTuple):
    """An answer without the customer's number, and its headers without Content-Length."""

    before: bytes
    after: bytes
    headers: Headers
    choice: Choice  # kept, so that no other choice gets its id


class Answers:
    """Makes the answers of `snapshot` on `day`, its reference day."""

    def __init__(self, snapshot: Snapshot, day: date) -> None:
        self.snapshot = snapshot
        self.day = day
        self._prepared: dict[tuple[int, int, bool], Prepared] = {}
        # OpenFeature gives a flag one type, and its Python client refuses 2640 as a float. So if an amount of the run
        # has cents, the whole ones are written as 2640.0, the same number in JSON.
        amounts = {row.voucher_amount for row in snapshot.segments} | {draw.voucher_amount for draw in snapshot.draws}
        self._type = int if all(amount == int(amount) for amount in amounts) else float

    def answer(self, row: Segment, choice: Choice, measured: int) -> tuple[bytes, Headers]:
        """Return the evaluation as a JSON object, and its headers. `measured` is the customer's number."""
        one = measured == 1
        key = id(row), id(choice), one  # hashing their fields would take longer than all the rest
        found = self._prepared.get(key)
        if found is None:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            found = self._prepared[key] = self._prepare(row, choice, 1 if one else 0)
        content = b"%b%b%b" % (found.before, f"{measured:,}".encode(), found.after)
        return content, [*found.headers, ("Content-Length", str(len(content)))]

    def _prepare(self, row: Segment, choice: Choice, number: int) -> Prepared:
        kind, effect = self.snapshot.kind(row.segment_name), self.snapshot.effect(row, choice.voucher_amount)
        sentence = because(row, kind, choice, effect, measured=number, reference_day=self.day)
        before = _to_json(self._evaluation(row, choice)).removesuffix("}}")
        after = _to_json(sentence.removeprefix(str(number))).removeprefix('"')
        return Prepared(
            f'{before},"because":"'.encode(),
            f"{after}}}}}\n".encode(),
            [("Content-Type", "application/json"), *headers(row, choice, self.snapshot).items()],
            choice,
        )

    def _evaluation(self, row: Segment, choice: Choice) -> dict[str, Any]:
        """Return the evaluation without the sentence, which comes last."""
        currency = self.snapshot.currency(row.country_code)
        return {
            "key": KEY,
            "value": self._type(choice.voucher_amount),
            "reason": _reason(row, choice),
            "variant": f"{row.segment_name} {row.segment}",
            "metadata": {
                "run": self.snapshot.run_id,
                "country_code": row.country_code,
                "segment_name": row.segment_name,
                "segment": row.segment,
                "chosen_by": choice.chosen_by,
                "propensity": float(choice.propensity),
                **({"currency": currency.code} if currency else {}),
            },
        }


def _reason(row: Segment, choice: Choice) -> str:
    if choice.chosen_by != "table":
        return "SPLIT"
    return "DEFAULT" if row.basis == "country" else "TARGETING_MATCH"


def _to_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")  # in case it ends up in HTML
