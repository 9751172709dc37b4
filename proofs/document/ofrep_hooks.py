"""Let schemathesis make customers, too, from the document of OpenFeature's protocol, which says only "an object".

schemathesis loads this module in the proof `ofrep`. The document admits the same requests as before.
"""

from datetime import timedelta
from typing import Any

import schemathesis

from pipeline.rules.segments import SegmentBook
from proofs.publishing.histories import COUNTRIES, TODAY

DAYS = [(TODAY - timedelta(days)).isoformat() for days in (0, 1, 45, 400)]
CUSTOMER = {
    "type": "object",
    "required": ["targetingKey", "country_code", "segment_name", "total_orders", "last_order_ts", "first_order_ts"],
    "properties": {
        "targetingKey": {"type": "string", "minLength": 1},
        "country_code": {"enum": [*COUNTRIES]},
        "segment_name": {"enum": [kind.name for kind in SegmentBook.load().kinds]},
        "total_orders": {"type": "integer", "minimum": 0},
        "last_order_ts": {"enum": DAYS},
        "first_order_ts": {"enum": DAYS},
    },
}


@schemathesis.hook
def before_load_schema(context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Add the key of the flag there is to any key, and customers to any contexts."""
    (key,) = raw_schema["paths"]["/ofrep/v1/evaluate/flags/{key}"]["post"]["parameters"]
    key["schema"] = {"anyOf": [{"enum": ["voucher"]}, key["schema"]]}
    schemas = raw_schema["components"]["schemas"]
    schemas["context"] = {"anyOf": [CUSTOMER, schemas["context"]]}
