"""Load the history in the common way: pandas, a Python function for each row, `to_sql`. `pipeline` measures it.

It has its own copy of the rules. The benchmark checks that its answers are the same.
"""

from io import BytesIO
from typing import Any

import boto3
import pandas as pd
from sqlalchemy import create_engine, make_url

from pipeline.rules.segments import SegmentBook

FREQUENT, RECENCY = (
    {segment.label: (segment.lower, segment.upper) for segment in kind.segments} for kind in SegmentBook.load().kinds
)
KINDS = {"frequent_segment": FREQUENT, "recency_segment": RECENCY}


def run(bucket: str, key: str, database_url: str) -> int:
    """Write the tables `cleaned` and `segments` to the database. Return the number of kept rows."""
    content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    history = pd.read_parquet(BytesIO(content))
    for column in ("timestamp", "first_order_ts", "last_order_ts"):
        history[column] = pd.to_datetime(history[column], utc=True, format="ISO8601")
    history["total_orders"] = pd.to_numeric(history["total_orders"])
    cleaned = history[history.apply(is_kept, axis=1)].copy()
    placed = cleaned.apply(segments_of, axis=1)
    cleaned["frequent_segment"] = [frequent for frequent, _ in placed]
    cleaned["recency_segment"] = [recency for _, recency in placed]
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg2"))
    cleaned.to_sql("cleaned", engine, if_exists="replace", index=False)
    most_used(cleaned).to_sql("segments", engine, if_exists="replace", index=False)
    engine.dispose()
    return len(cleaned)


def is_kept(row: Any) -> bool:
    if pd.isna(row["total_orders"]) or pd.isna(row["voucher_amount"]):
        return False
    if row["total_orders"] == 0 and (pd.notna(row["first_order_ts"]) or pd.notna(row["last_order_ts"])):
        return False
    if row["total_orders"] == 1 and pd.notna(row["first_order_ts"]) and pd.notna(row["last_order_ts"]):
        return bool(row["first_order_ts"] == row["last_order_ts"])
    return True


def segments_of(row: Any) -> tuple[str | None, str | None]:
    days = None
    if pd.notna(row["timestamp"]) and pd.notna(row["last_order_ts"]):
        days = (row["timestamp"].normalize() - row["last_order_ts"].normalize()).days
    return label(row["total_orders"], FREQUENT), label(days, RECENCY)


def label(measure: float | None, bounds: dict[str, tuple[int, int | None]]) -> str | None:
    if measure is None:
        return None
    for name, (lower, upper) in bounds.items():
        if measure >= lower and (upper is None or measure <= upper):
            return name
    return None


def most_used(cleaned: pd.DataFrame) -> pd.DataFrame:
    """Return each segment's most used amount, the smaller on a tie; for an empty segment, that of its country."""
    overall = winners(cleaned, ["country_code"])
    found = []
    for kind, bounds in KINDS.items():
        votes = winners(cleaned, ["country_code", kind]).rename(columns={kind: "segment"})
        every = overall[["country_code"]].merge(pd.DataFrame({"segment": list(bounds)}), how="cross")
        answers = every.merge(votes, how="left").merge(overall, on="country_code", suffixes=("", "_overall"))
        answers["voucher_amount"] = answers["voucher_amount"].fillna(answers["voucher_amount_overall"])
        answers["segment_name"] = kind
        found.append(answers[["country_code", "segment_name", "segment", "voucher_amount"]])
    return pd.concat(found)


def winners(cleaned: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    uses = cleaned.groupby([*by, "voucher_amount"]).size().reset_index(name="uses")
    ranked = uses.sort_values(["uses", "voucher_amount"], ascending=[False, True])
    return ranked.drop_duplicates(by)[[*by, "voucher_amount"]]
