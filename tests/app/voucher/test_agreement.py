"""Every endpoint and format gives the answer in the published tables."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.published.models import db
from tests.app.conftest import Ask

ANSWER = text("""
WITH customer AS (
  SELECT CASE :segment_name WHEN 'frequent_segment' THEN CAST(CAST(:total_orders AS text) AS numeric)
    ELSE greatest(run.today - CAST(CAST(:last_order_ts AS timestamptz) AT TIME ZONE 'UTC' AS date), 0) END AS measured
  FROM voucher.run JOIN voucher.current_run USING (run_id)
)
SELECT voucher_amount, country_code, segment_name, segment, lower_bound, upper_bound, measure, measured, uses, rows,
  runner_up_amount, runner_up_uses, basis, tied, sends, share_low,
  share_high, clear, run_id
FROM voucher.segment JOIN voucher.current_run USING (run_id) CROSS JOIN customer
WHERE lower(country_code) = lower(btrim(:country_code)) AND segment_name = :segment_name
  AND measured >= lower_bound AND (upper_bound IS NULL OR measured <= upper_bound)
""")

ZONES = st.sampled_from(
    [None, UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12)), timezone(timedelta(hours=5, minutes=45))]
)
CUSTOMERS = st.fixed_dictionaries(
    {
        "country_code": st.sampled_from(["Peru", "peru", " LATVIA ", "São Tomé"]),
        "segment_name": st.sampled_from(["frequent_segment", "recency_segment"]),
        "total_orders": st.integers(0, 60) | st.integers(0, 10**30),
        "last_order_ts": st.one_of(
            st.dates(date(1, 1, 1), date(2018, 7, 16)).map(str),
            st.tuples(st.datetimes(datetime(1000, 1, 3), datetime(2018, 7, 15)), ZONES, st.sampled_from(" T")).map(
                lambda parts: parts[0].replace(tzinfo=parts[1]).isoformat(parts[2])
            ),
        ),
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(customer=CUSTOMERS)
def test_all_ways_to_ask_agree_with_the_tables(standing: Ask, customer: dict[str, Any]) -> None:
    """Single, explained, array and NDJSON answers match the row that SQL finds; explanations match every column."""
    client, body = standing.client, json.dumps(customer)
    with client.application.app_context():
        parameters = customer | {"total_orders": str(customer["total_orders"])}  # 10**30 does not fit in a bigint
        [row] = db.session.execute(ANSWER, parameters).mappings()
    amount = {"voucher_amount": row["voucher_amount"]}
    explained = client.post("/voucher?explain=true", json=customer).json
    assert {name: explained[name] for name in row} == dict(row)
    assert explained["share"] == row["uses"] / row["rows"]
    alone = client.post("/voucher", json=customer)
    assert alone.json == amount
    assert client.post("/segmentation-voucher/", json=customer).json == amount
    assert client.post("/vouchers", data=f"[{body}]", content_type="application/json").json == [amount]
    assert client.post("/vouchers", data=body, content_type="application/x-ndjson").data == b"%b\n" % alone.data.strip()
