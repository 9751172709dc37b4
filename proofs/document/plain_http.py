"""The calls of the generated clients over plain HTTP, to compare with."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import requests

from app.voucher.schemas import csv_file, lines
from pipeline.rules.segments import SegmentBook
from proofs.publishing.histories import CUSTOMERS

BULK = {"/vouchers.ndjson": "application/x-ndjson", "/vouchers.csv": "text/csv"}


def given(public: str, run: str, key: str) -> dict[str, Any]:
    """Return the input of the calling programs: address, key and customers."""
    frequent, recency, *_ = (
        next(json.loads(each.request) for each in CUSTOMERS if each.kind == kind.name)
        for kind in SegmentBook.load().kinds
    )
    unknown = frequent | {"country_code": "Atlantis"}
    return {
        "url": public,
        "key": key,
        "frequent": frequent,
        "recency": recency,
        "unknown": unknown,
        "file": csv_file([frequent, recency, unknown]),
        "country": frequent["country_code"],
        "flag": {"context": frequent | {"targetingKey": "7"}},
        "run": run,
    }


def expected(address: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers over plain HTTP, by the names that the calling programs use."""

    def ask(path: str, body: Any = None, **query: Any) -> Any:
        media_type = BULK.get(path, "application/json")
        response = requests.request(
            "GET" if body is None else "POST",
            f"{address}{path}",
            params=query,
            data=body if isinstance(body, str) else json.dumps(body),
            headers={"Authorization": f"Bearer {given['key']}", "Content-Type": media_type},
            timeout=30,
        )
        if path.endswith(".xlsx"):
            return sha256(response.content).hexdigest()
        is_json = response.headers["Content-Type"].endswith("json") and path not in BULK
        return response.json() if is_json else response.text

    customers = [given[name] for name in ("frequent", "recency", "unknown")]
    run, country = given["run"], given["country"]
    return {
        "getVoucher": ask("/voucher", given["frequent"]),
        "getVoucher explained": ask("/voucher", given["recency"], explain="true"),
        "getVoucher of a run": ask("/voucher", given["frequent"], run=run),
        "getVoucher refused": ask("/voucher", given["unknown"]),
        "getSegmentationVoucher explained": ask("/segmentation-voucher/", given["recency"], explain="true"),
        "getVouchers": ask("/vouchers", customers),
        "getVouchers explained": ask("/vouchers", customers, explain="true"),
        "getVouchers of a run": ask("/vouchers", customers, run=run),
        "getVouchersNdjson explained": ask("/vouchers.ndjson", lines(customers), explain="true"),
        "getVouchersCsv": ask("/vouchers.csv", given["file"]),
        "evaluateVoucherFlag": ask("/ofrep/v1/evaluate/flags/voucher", given["flag"]),
        "evaluateFlags": ask("/ofrep/v1/evaluate/flags", given["flag"]),
        "getSegments": ask("/segments", country=country),
        "getSegmentsCsv": ask("/segments.csv"),
        "getSegmentsXlsx": ask("/segments.xlsx"),
        "getCountries": ask("/countries"),
        "getVotes": ask("/votes", country=country, run=run),
        "getEffects": ask("/effects", country=country),
        "getEffectsCsv": ask("/effects.csv"),
        "getRules": ask("/rules"),
        "getRules of a run": ask("/rules", run=run),
        "getRuns": ask("/runs"),
        "getRuns before": ask("/runs", limit=1, before=run),
        "getRun": ask(f"/runs/{run}"),
        "getAssignmentsCsv": ask("/assignments.csv", country=country, run=run),
        "getLiveness": ask("/livez"),
        "getReadiness": ask("/readyz"),
        "getHealth": ask("/health"),
        "getMetrics": ask("/metrics"),
    }


def normalize(value: Any) -> Any:
    """Remove what differs between calls, and convert times to one form."""
    if isinstance(value, dict):
        return {name: normalize(each) for name, each in value.items() if name != "data_age_days"}
    if isinstance(value, list):
        return [normalize(each) for each in value]
    if not isinstance(value, str):
        return value
    if "voucher_request" in value:
        return [line for line in value.splitlines() if "voucher_request" not in line]
    if value.startswith("{"):
        return [normalize(json.loads(line)) for line in value.splitlines()]
    return datetime.fromisoformat(value) if re.match(r"\d{4}-\d\d-\d\dT", value) else value
