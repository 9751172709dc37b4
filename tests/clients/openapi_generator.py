"""Call every operation with `generated`, the client of openapi-generator, and print what each returns.

proofs/document/generated.py executes this in a folder with `generated` and input.json.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from generated import ApiClient, Configuration, HealthApi, OpenFeatureApi, TablesApi, VouchersApi
from generated.exceptions import NotFoundException
from generated.models import Answer, Customer, Explanation, FlagRequest, FrequentCustomer, Problem, RecencyCustomer

given = json.loads(Path("input.json").read_text())
configuration = Configuration(access_token=given["key"])  # the address is the document's
client = ApiClient(configuration)
vouchers, tables, health = VouchersApi(client), TablesApi(client), HealthApi(client)
flags, flag = OpenFeatureApi(client), FlagRequest.from_dict(given["flag"])
frequent = Customer(FrequentCustomer.from_dict(given["frequent"]))
recency = Customer(RecencyCustomer.from_dict(given["recency"]))
unknown = Customer(FrequentCustomer.from_dict(given["unknown"]))
lines = "".join(f"{customer.to_json()}\n" for customer in (frequent, recency, unknown)).encode()


def plain(found: Any) -> Any:
    return json.loads(found.to_json())


assert configuration.host == given["url"], configuration.host
answer = vouchers.get_voucher(frequent)
assert isinstance(answer.actual_instance, Answer)
explanation = vouchers.get_voucher(recency, explain=True)
assert isinstance(explanation.actual_instance, Explanation)
old = vouchers.get_segmentation_voucher(recency, explain=True)
assert isinstance(old.actual_instance, Explanation)
try:
    vouchers.get_voucher(unknown)
except NotFoundException as error:
    refused = error.data
assert isinstance(refused, Problem)
bare = vouchers.get_vouchers([frequent, recency, unknown])
assert [type(each.actual_instance) for each in bare] == [Answer, Answer, Problem]
explained = vouchers.get_vouchers([frequent, recency, unknown], explain=True)
assert [type(each.actual_instance) for each in explained] == [Explanation, Explanation, Problem]
of_a_run = vouchers.get_vouchers([frequent, recency, unknown], run=given["run"])

print(
    json.dumps(
        {
            "getVoucher": plain(answer),
            "getVoucher explained": plain(explanation),
            "getVoucher of a run": plain(vouchers.get_voucher(frequent, run=given["run"])),
            "getVoucher refused": plain(refused),
            "getSegmentationVoucher explained": plain(old),
            "getVouchers": [plain(each) for each in bare],
            "getVouchers explained": [plain(each) for each in explained],
            "getVouchers of a run": [plain(each) for each in of_a_run],
            "getVouchersNdjson explained": vouchers.get_vouchers_ndjson(lines, explain=True).decode(),
            "getVouchersCsv": vouchers.get_vouchers_csv(given["file"].encode()).decode(),
            "evaluateVoucherFlag": plain(flags.evaluate_voucher_flag(flag)),
            "evaluateFlags": plain(flags.evaluate_flags(flag)),
            "getSegments": plain(tables.get_segments(country=given["country"])),
            "getSegmentsCsv": tables.get_segments_csv(),
            "getSegmentsXlsx": sha256(tables.get_segments_xlsx()).hexdigest(),
            "getCountries": plain(tables.get_countries()),
            "getVotes": plain(tables.get_votes(country=given["country"], run=given["run"])),
            "getEffects": plain(tables.get_effects(country=given["country"])),
            "getEffectsCsv": tables.get_effects_csv(),
            "getRules": plain(tables.get_rules()),
            "getRules of a run": plain(tables.get_rules(run=given["run"])),
            "getRuns": plain(tables.get_runs()),
            "getRuns before": plain(tables.get_runs(limit=1, before=given["run"])),
            "getRun": plain(tables.get_run(given["run"])),
            "getAssignmentsCsv": tables.get_assignments_csv(country=given["country"], run=given["run"]),
            "getLiveness": plain(health.get_liveness()),
            "getReadiness": plain(health.get_readiness()),
            "getHealth": plain(health.get_health()),
            "getMetrics": health.get_metrics(),
        }
    )
)
