"""Let schemathesis ask for the flag there is, and for customers: the protocol's document says only "text" and "object".

schemathesis loads this module in the proof `ofrep`. It changes every other request, and a changed one fits the document
as before.
"""

from typing import Any
from zlib import crc32

import schemathesis

from proofs.publishing.histories import CUSTOMERS


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    """Ask for the flag `voucher` instead of another one."""
    key = path_parameters.get("key") if isinstance(path_parameters, dict) else None
    return path_parameters | {"key": "voucher"} if isinstance(key, str) and _number(key) % 2 else path_parameters


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Add the fields of a customer to a context that fits the document."""
    sent = body.get("context") if isinstance(body, dict) else None
    key = sent.get("targetingKey") if isinstance(sent, dict) else None
    if not (isinstance(sent, dict) and isinstance(key, str) and _number(key) % 2):
        return body
    customer = CUSTOMERS[_number(key) // 2 % len(CUSTOMERS)]
    known = {"country_code": customer.country, "segment_name": customer.kind, **customer.fields}
    return body | {"context": sent | known}


def _number(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"))
