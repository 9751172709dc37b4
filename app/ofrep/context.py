"""Read the evaluation context of a request: the fields of a customer, and `targetingKey`, which is the customer's id.

The protocol requires `targetingKey`. A `customer_id` in the context is ignored, so that there is never a second id.
"""

from typing import Any

from app.errors import BadValue, BadValuesError
from app.voucher.customer import BrokenJSONError, parse_json, text

EXAMPLE = '{"context": {"targetingKey": "123", …}}'


class TargetingKeyMissingError(BadValuesError):
    """The context does not say whom the flag is evaluated for."""

    def __init__(self) -> None:
        super().__init__(BadValue("targetingKey", "is required: send the customer's id as text"))


def read_context(body: bytes) -> dict[str, Any]:
    """Return the fields of a customer, with the targeting key as `customer_id`. The fields are not checked yet.

    Raises BrokenJSONError, TargetingKeyMissingError, or BadValuesError if the context or the key has a wrong type.
    """
    found = parse_json(body)
    if not isinstance(found, dict):
        raise BrokenJSONError(f"The body must be a JSON object. Send {EXAMPLE}.")
    context = found.get("context")
    if not isinstance(context, dict):
        given = (context,) if "context" in found else ()
        raise BadValuesError(BadValue("context", f"must be a JSON object: send {EXAMPLE}", given))
    key = context.get("targetingKey")
    if key is None:
        raise TargetingKeyMissingError
    try:
        context["customer_id"] = text(key)
    except ValueError as error:
        raise BadValuesError(BadValue("targetingKey", str(error), (key,))) from None
    return context
