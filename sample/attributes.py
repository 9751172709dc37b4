"""Fill the columns of the sample, one attribute after the other: segment of orders, days, tenure, number of orders."""

import numpy as np

from sample.cells import (
    BLANK,
    CELLS,
    COMMON,
    DUPLICATES,
    FIGURES,
    NEVER_USED,
    NO_AMOUNT,
    ORDERS,
    OTHERS_ONE_ORDER_NULL,
    PERU,
    PERU_ONE_ORDER_4400,
    PERU_RECENT,
    SAME_DATE_SHARE,
    TO_DRAW,
    WAITS,
)
from sample.columns import History


def peru_segments(amount: str) -> dict[str, int]:
    """Return the number of Peru's rows with this amount ("0": none) by segment of orders."""
    more = {segment: counts[amount] for segment, counts in PERU["frequent_blank_as_zero_null_as_zero"].items()}
    few = more.pop("0-4")
    if amount == "0":
        # what the fourth rule drops after the other three; its other matches have no amount
        two_dates = PERU["rows_not_null_not_blank"] - PERU["zero_orders_with_amount"] - PERU["kept_after_seed0_rules"]
        blank = PERU["blank_orders"] - PERU["blank_orders_with_amount"]
        zero = PERU["zero_orders"] - PERU["zero_orders_with_amount"]
        one = PERU["one_order_first_ne_last"] - two_dates
    else:
        blank = few - PERU["frequent_dropped_dedup"]["0-4"][amount]
        zero = PERU["zero_orders_by_amount"][amount]
        one = PERU.get(f"one_order_{amount}", PERU_ONE_ORDER_4400)
    return {"blank": blank, "0": zero, "1": one, "2-4": few - blank - zero - one, **more}


def deal_segments(h: History) -> None:
    """Deal segments of orders."""
    for amount in (0, 2640, 3520, 4400):
        h.deal(h.segment, h.peru & (h.amount == amount), peru_segments(str(amount)))
    blank, value = FIGURES["total_orders"], FIGURES["total_orders"]["rows_by_value"]
    paid_zeros = FIGURES["total_orders"]["rows_with_amount_by_value"]["0.0"]
    everywhere = {
        True: {"blank": blank["blank_with_amount"], "0": paid_zeros},
        False: {"blank": blank["blank_and_null_amount"], "0": value["0.0"] - paid_zeros},
    }
    ones = value["1.0"] - int((h.segment == "1").sum())
    for paid, one in ((True, ones - OTHERS_ONE_ORDER_NULL), (False, OTHERS_ONE_ORDER_NULL)):
        here = h.paid == paid
        counts = {s: n - int((here & (h.segment == s)).sum()) for s, n in everywhere[paid].items()}
        h.deal(h.segment, ~h.peru & here, {**counts, "1": one})
    for cell in CELLS:
        here = (h.country == cell.country) & (h.amount == cell.amount) & (h.segment == "")
        h.draw(h.segment, here, dict(zip(ORDERS, cell.orders, strict=True)))


def deal_waits(h: History) -> None:
    """Deal segments of recency, then the days themselves. Rows that get no segment stay backdated."""
    valid = PERU["recency_event_floor_days_dropped_dedup"]
    everyone = PERU["recency_event_calendar_days_utc_plus4_null_as_zero"]
    peru_days = {int(day): n for day, n in PERU["days_since_last_order_calendar_utc_plus4"].items()}
    for amount, (recent, recent_blank) in PERU_RECENT.items():
        here, key = h.peru & (h.amount == amount), str(amount)
        known = {segment: counts.get(key, 0) for segment, counts in valid.items()}
        known["91-120"] += DUPLICATES["Peru"][1] * (amount == DUPLICATES["Peru"][0])  # the figure leaves them out
        quarter = everyone["90-119"][key] - known["61-90"] - known["91-120"]
        month = everyone["30-59"][key] - known["30-60"]
        complete = h.paid & (h.segment != "blank")
        h.deal(h.wait, here & complete, {**known, "0-29": recent})
        h.deal(h.wait, here & ~complete, {"30-60": month, "quarter": quarter, "0-29": recent_blank})
    h.deal(h.wait, h.wait == "quarter", {"61-90": peru_days[90] - int((h.wait == "61-90").sum())})
    h.wait[h.wait == "quarter"] = "91-120"
    for cell in CELLS:
        if cell.country != "Peru":
            here = (h.country == cell.country) & (h.amount == cell.amount)
            h.draw(h.wait, here, dict(zip(list(WAITS)[2:], cell.waits, strict=True)))
            h.deal(h.wait, here, {"0-29": cell.recent})
    backdated = FIGURES["rows_last_order_after_timestamp"] - PERU["timestamp_before_last_order"]
    h.deal(h.wait, ~h.peru & (h.wait != "0-29"), {"back": backdated})
    for wait, (low, high) in WAITS.items():
        days = {day: n for day, n in peru_days.items() if low <= day <= high}
        h.deal(h.days, h.peru & (h.wait == wait), days)
        h.draw(h.days, ~h.peru & (h.wait == wait), days)


def deal_tenures(h: History) -> None:
    """Deal the time between the first and the last order, and the month of the voucher."""
    same_blank = PERU["blank_and_last_eq_first_not_null_dedup"]
    same = PERU["rows_last_order_eq_first_order_not_null_dedup"] - same_blank
    paid_once = h.peru & h.paid & (h.segment == "1")
    null_once = int((h.peru & ~h.paid & (h.segment == "1")).sum())
    same_once = int(paid_once.sum()) - (PERU["one_order_first_ne_last"] - null_once)
    h.deal(h.tenure, paid_once, {"same": same_once})
    h.deal(h.tenure, h.peru & h.paid & (h.segment == "blank"), {"same": same_blank})
    h.deal(h.tenure, h.peru & h.paid & ~np.isin(h.segment, ("1", "blank")), {"same": same - same_once})
    others = ~h.peru & (h.segment != "1")
    h.deal(h.tenure, others, {"same": round(SAME_DATE_SHARE * others.sum())})
    buckets = dict(PERU["last_minus_first_2640_by_bucket_open_interval"])
    published = h.peru & (h.amount == 2640)
    buckets["0-30_and_bucket_edges"] -= int((published & (h.tenure == "same")).sum())
    h.deal(h.tenure, published & (h.tenure == ""), buckets)
    h.draw(h.tenure, h.tenure == "", buckets)
    long = PERU["timestamp_before_last_order"] - PERU["timestamp_before_first_order"]
    h.deal(h.tenure, h.peru & (h.wait == "back") & (h.tenure == ">180"), {"long": long})
    for backdated in (True, False):
        here = (h.wait == "back") == backdated
        months = {m: n for m, n in PERU["events_by_month_utc_plus4"].items() if (m < "2018") == backdated}
        h.deal(h.month, h.peru & here, months)
        h.draw(h.month, ~h.peru & here, months)


def number_orders(h: History) -> None:
    """Give each row its number of orders: first the published ones, then a random one within the segment."""
    for segment, number in (("blank", BLANK), ("0", 0), ("1", 1)):
        h.orders[h.segment == segment] = number
    for segment, (_, high, inner) in list(ORDERS.items())[:3]:
        here = h.peru & (h.amount == 2640) & (h.segment == segment)
        inside = PERU["orders_2640_open_interval"][inner] - PERU["one_order_2640"] * (segment == "2-4")
        h.deal(h.orders, here, {high: int(here.sum()) - inside})
    paid = {int(float(n)): rows for n, rows in FIGURES["total_orders"]["rows_with_amount_by_value"].items()}
    fixed = {int(float(n)): rows for n, rows in FIGURES["total_orders"]["rows_by_value"].items() if float(n) > 1}
    for number, rows in fixed.items():
        here = ~h.peru & (h.segment == ("5-13" if number == 10 else "38+")) & (h.orders == TO_DRAW)
        h.deal(h.orders, here & h.paid, {number: paid[number]})
        h.deal(h.orders, here & ~h.paid, {number: rows - paid[number]})
    free = [n for n in range(2, 517) if n not in fixed and n not in NEVER_USED]
    largest = {NO_AMOUNT if a == "null" else int(a): n for a, n in PERU["max_orders_by_amount"].items()}
    many = h.paid & (h.segment == "38+") & (h.orders == TO_DRAW)
    h.deal(h.orders, ~h.peru & many, {n: 1 for n in free if n >= 38})  # each occurs at least once
    for amount, most in largest.items():
        h.deal(h.orders, h.peru & (h.amount == amount) & (h.segment == "38+"), {most: 1})
    for segment, (low, high, _) in ORDERS.items():
        undrawn = (h.segment == segment) & (h.orders == TO_DRAW)
        # of 2640, the numbers at a segment's edge are dealt already
        groups = [
            (h.peru & (h.amount == a), most, (4, 5, 13, 14, 37) if a == 2640 else ()) for a, most in largest.items()
        ]
        for here, most, edges in [*groups, (~h.peru, 516, ())]:
            numbers = [n for n in free if low <= n <= min(high, most) and n not in edges]
            # from 38 on the numbers thin out: about a quarter of Peru's rows has more than 52 orders, as published
            h.draw(h.orders, here & undrawn, {n: COMMON.get(n, 1) / max(n - 8, 30) ** 2 for n in numbers})
