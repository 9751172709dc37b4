"""How the routes document the problems that they may respond with."""

from http import HTTPStatus
from typing import Any

from flask_openapi3.types import ResponseDict

from app.errors import ApiError
from app.web import problems

COMPONENTS = "#/components/schemas"
RETRY_AFTER = {"Retry-After": {"description": "Seconds, where waiting helps.", "schema": {"type": "integer"}}}


def answers(*examples: ApiError | problems.Problem) -> ResponseDict:
    """Document the problems that an operation may respond with, by status, each with its example."""
    by_status: dict[int, list[problems.Problem]] = {}
    for example in examples:
        problem = problems.from_error(example) if isinstance(example, ApiError) else example
        by_status.setdefault(problem.status, []).append(problem)
    return {
        status: {
            "description": "; or ".join(example.title for example in alike),
            "content": {"application/problem+json": {"schema": {"$ref": f"{COMPONENTS}/Problem"}, **_shown(alike)}},
            **({"headers": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
        }
        for status, alike in by_status.items()
    }


def _shown(alike: list[problems.Problem]) -> dict[str, Any]:
    values = [example.model_dump(exclude_unset=True) for example in alike]
    if len(values) == 1:
        return {"example": values[0]}
    return {"examples": {str(value["type"]).rpartition(":")[2]: {"value": value} for value in values}}


UNAUTHORIZED = answers(problems.refused(HTTPStatus.UNAUTHORIZED))[HTTPStatus.UNAUTHORIZED]
INTERNAL_ERROR = answers(problems.refused(HTTPStatus.INTERNAL_SERVER_ERROR))
