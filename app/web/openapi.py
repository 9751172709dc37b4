"""The problem responses of all operations, for the OpenAPI document."""

from collections.abc import Iterator

from app.errors import ApiError

COMPONENTS = "#/components/schemas"
PROBLEM = {"application/problem+json": {"schema": {"$ref": f"{COMPONENTS}/Problem"}}}
# Two ranges and no `default`: only a 5XX has Retry-After, and strict clients notice any other status.
PROBLEMS = {
    "4XX": {"description": "A problem with the request", "content": PROBLEM},
    "5XX": {
        "description": "A problem with the service",
        "headers": {
            "Retry-After": {"description": "Seconds to wait, if waiting helps.", "schema": {"type": "integer"}}
        },
        "content": PROBLEM,
    },
}


def kinds() -> str:
    """Return a Markdown table of the problem types: the subclasses of ApiError that have a type."""
    rows = sorted(
        {(kind.status.value, kind.type, kind.title) for kind in _subclasses(ApiError) if hasattr(kind, "type")}
    )
    lines = [f"| {status} | `urn:voucher-select:{name}` | {title} |" for status, name, title in rows]
    return "\n".join(["| status | type | title |", "|---|---|---|", *lines])


def _subclasses(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)
