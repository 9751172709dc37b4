"""Responses of the reports, and their documentation."""

from typing import Any

from flask import Response
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from app.reports import rfc4180
from app.web.request_log import RUN_HEADER

TAG = Tag(name="Tables")
RUN_ID = "8d5ff2c3a1b4e697"  # in the examples
RUN_HEADERS = {RUN_HEADER: {"description": "The run that was read", "schema": {"type": "string"}}}


def json_response(body: BaseModel, run_id: str | None = None) -> Response:
    """Return a JSON response. `run_id` is the run that the whole body was read from."""
    headers = {RUN_HEADER: run_id} if run_id else {}
    return Response(f"{body.model_dump_json()}\n", headers=headers, content_type="application/json")


def json_docs(
    example: BaseModel, description: str, headers: dict[str, Any] | None = None, more: dict[str, Any] | None = None
) -> type[BaseModel]:
    """Return the example's model with its OpenAPI documentation. `more` are other media types of the same response."""
    model = type(example)
    extra = {"description": description, "example": example.model_dump(mode="json"), "content": more or {}}
    model.model_config["openapi_extra"] = extra | ({"headers": headers} if headers else {})  # type: ignore[typeddict-unknown-key]
    return model


def csv_media(example: str) -> dict[str, Any]:
    return {rfc4180.MIMETYPE: {"schema": {"type": "string"}, "example": example}}


def csv_docs(example: str, description: str, headers: dict[str, Any] = RUN_HEADERS) -> dict[str, Any]:
    return {"description": description, "headers": headers, "content": csv_media(example)}
