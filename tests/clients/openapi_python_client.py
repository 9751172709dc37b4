"""Call every operation with `generated`, the client of openapi-python-client, and print what each returns.

proofs/document/generated.py executes this in a folder with `generated` and input.json.
"""

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from generated import AuthenticatedClient
from generated.api.health import get_health, get_liveness, get_metrics, get_readiness
from generated.api.open_feature import evaluate_flags, evaluate_voucher_flag
from generated.api.tables import (
    get_assignments_csv,
    get_countries,
    get_effects,
    get_effects_csv,
    get_rules,
    get_run,
    get_runs,
    get_segments,
    get_segments_csv,
    get_segments_xlsx,
    get_votes,
)
from generated.api.vouchers import (
    get_segmentation_voucher,
    get_voucher,
    get_vouchers,
    get_vouchers_csv,
    get_vouchers_ndjson,
)
from generated.models import Answer, Explanation, FlagRequest, FrequentCustomer, Problem, RecencyCustomer
from generated.types import File

given = json.loads(Path("input.json").read_text())
client = AuthenticatedClient(given["url"], given["key"], raise_on_unexpected_status=True)
frequent, unknown = FrequentCustomer.from_dict(given["frequent"]), FrequentCustomer.from_dict(given["unknown"])
recency = RecencyCustomer.from_dict(given["recency"])
lines = "".join(f"{json.dumps(customer.to_dict())}\n" for customer in (frequent, recency, unknown)).encode()

answer = get_voucher.sync(client=client, body=frequent)
assert isinstance(answer, Answer)
explanation = get_voucher.sync(client=client, body=recency, explain=True)
assert isinstance(explanation, Explanation)
assert isinstance(explanation.reference_day.year, int)
old = get_segmentation_voucher.sync(client=client, body=recency, explain=True)
assert isinstance(old, Explanation)
refused = get_voucher.sync(client=client, body=unknown)
assert isinstance(refused, Problem)
bare = get_vouchers.sync(client=client, body=[frequent, recency, unknown])
assert [type(each) for each in bare] == [Answer, Answer, Problem]
explained = get_vouchers.sync(client=client, body=[frequent, recency, unknown], explain=True)
assert [type(each) for each in explained] == [Explanation, Explanation, Problem]
of_a_run = get_vouchers.sync(client=client, body=[frequent, recency, unknown], run=given["run"])
ndjson = get_vouchers_ndjson.sync(client=client, body=File(BytesIO(lines)), explain=True)
assert isinstance(ndjson, File)
file = get_vouchers_csv.sync(client=client, body=File(BytesIO(given["file"].encode())))
assert isinstance(file, File)
flag = FlagRequest.from_dict(given["flag"])

print(
    json.dumps(
        {
            "getVoucher": answer.to_dict(),
            "getVoucher explained": explanation.to_dict(),
            "getVoucher of a run": get_voucher.sync(client=client, body=frequent, run=given["run"]).to_dict(),
            "getVoucher refused": refused.to_dict(),
            "getSegmentationVoucher explained": old.to_dict(),
            "getVouchers": [each.to_dict() for each in bare],
            "getVouchers explained": [each.to_dict() for each in explained],
            "getVouchers of a run": [each.to_dict() for each in of_a_run],
            "getVouchersNdjson explained": ndjson.payload.read().decode(),
            "getVouchersCsv": file.payload.read().decode(),
            "evaluateVoucherFlag": evaluate_voucher_flag.sync(client=client, body=flag).to_dict(),
            "evaluateFlags": evaluate_flags.sync(client=client, body=flag).to_dict(),
            "getSegments": get_segments.sync(client=client, country=given["country"]).to_dict(),
            "getSegmentsCsv": get_segments_csv.sync(client=client),
            "getSegmentsXlsx": sha256(get_segments_xlsx.sync(client=client).payload.read()).hexdigest(),
            "getCountries": get_countries.sync(client=client).to_dict(),
            "getVotes": get_votes.sync(client=client, country=given["country"], run=given["run"]).to_dict(),
            "getEffects": get_effects.sync(client=client, country=given["country"]).to_dict(),
            "getEffectsCsv": get_effects_csv.sync(client=client),
            "getRules": get_rules.sync(client=client).to_dict(),
            "getRules of a run": get_rules.sync(client=client, run=given["run"]).to_dict(),
            "getRuns": get_runs.sync(client=client).to_dict(),
            "getRuns before": get_runs.sync(client=client, limit=1, before=given["run"]).to_dict(),
            "getRun": get_run.sync(given["run"], client=client).to_dict(),
            "getAssignmentsCsv": get_assignments_csv.sync(client=client, country=given["country"], run=given["run"]),
            "getLiveness": get_liveness.sync(client=client).to_dict(),
            "getReadiness": get_readiness.sync(client=client).to_dict(),
            "getHealth": get_health.sync(client=client).to_dict(),
            "getMetrics": get_metrics.sync(client=client),
        }
    )
)
