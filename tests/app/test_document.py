"""The OpenAPI document and its viewers: valid, complete and without requests to other hosts."""

import csv
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.app.conftest import RUN, Ask
from tests.conftest import ROOT

Publish = Callable[..., None]

OPERATIONS = {
    "/voucher": "getVoucher",
    "/vouchers": "getVouchers",
    "/vouchers.ndjson": "getVouchersNdjson",
    "/vouchers.csv": "getVouchersCsv",
    "/ofrep/v1/evaluate/flags/voucher": "evaluateVoucherFlag",
    "/ofrep/v1/evaluate/flags": "evaluateFlags",
    "/segments": "getSegments",
    "/segments.csv": "getSegmentsCsv",
    "/segments.xlsx": "getSegmentsXlsx",
    "/countries": "getCountries",
    "/votes": "getVotes",
    "/effects": "getEffects",
    "/effects.csv": "getEffectsCsv",
    "/rules": "getRules",
    "/runs": "getRuns",
    "/runs/{run_id}": "getRun",
    "/assignments.csv": "getAssignmentsCsv",
    "/livez": "getLiveness",
    "/readyz": "getReadiness",
    "/health": "getHealth",
    "/metrics": "getMetrics",
    "/segmentation-voucher/": "getSegmentationVoucher",
}


OTHER_STATUSES = {
    "/readyz": {"503"},
    "/health": {"503"},
    "/ofrep/v1/evaluate/flags/voucher": {"400"},
    "/ofrep/v1/evaluate/flags": {"304", "400"},
}
CLIENTS = [
    ROOT / "proofs/document/plain_http.py",
    *(ROOT / "tests/clients").glob("op*.py"),
    *(ROOT / "tests/clients").glob("*.ts"),
]
GUIDE = (ROOT / "docs" / "api.md").read_text()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the only operation of each path."""
    return {path: next(iter(methods.values())) for path, methods in document["paths"].items()}


def within(schema: Any) -> list[dict[str, Any]]:
    """Return every object in the schema, including itself."""
    if isinstance(schema, list):
        return [each for value in schema for each in within(value)]
    return [schema, *within(list(schema.values()))] if isinstance(schema, dict) else []


def body(path: str, customer: dict[str, Any]) -> dict[str, Any]:
    """Return the method, and what a POST to this path sends."""
    if path == "/vouchers.csv":
        lines = ",".join(customer), ",".join(map(str, customer.values()))
        return {"method": "POST", "data": "\n".join(lines), "content_type": "text/csv"}
    if path in ("/voucher", "/segmentation-voucher/") or path.startswith("/vouchers"):
        return {"method": "POST", "json": [customer] if path.startswith("/vouchers") else customer}
    return {"method": "GET"}


@pytest.mark.parametrize("path", OPERATIONS)
def test_the_guide_names_every_operation(path: str) -> None:
    """docs/api.md, the guide that users read before the reference, names every operation."""
    assert re.search(rf"(`|POST |:8000){re.escape(path.replace('{run_id}', 'RUN'))}[`?'\s]", GUIDE)


@pytest.mark.parametrize("name", OPERATIONS.values())
def test_generated_clients_call_every_operation(name: str) -> None:
    """Each client program calls every operation. `make prove clients` runs them, and compares them with plain HTTP."""
    assert [path.name for path in CLIENTS if not re.search(rf"\b{name}\b", path.read_text())] == []


@pytest.mark.parametrize("published", [False, True])
def test_the_openapi_document_is_valid(publish: Publish, client: FlaskClient, published: bool) -> None:
    """The document is valid OpenAPI, served as JSON, before and after the first publication."""
    if published:
        publish()
    response = client.get("/openapi.json")
    assert response.mimetype == "application/json"
    validate(response.json)


def test_operations_are_named_as_a_person_would_name_them(client: FlaskClient) -> None:
    """Clients can use operation ids as function names; the deprecated path is last, with a summary of its own."""
    found = operations(client.get("/openapi.json").json)
    assert {path: operation["operationId"] for path, operation in found.items()} == OPERATIONS
    *current, last = found
    assert last == "/segmentation-voucher/"
    assert [path for path in current if found[path].get("deprecated")] == []
    assert found[last]["deprecated"] is True
    assert found[last]["summary"] != found["/voucher"]["summary"]


def test_the_old_path_says_in_each_answer_that_it_is_deprecated(
    publish: Publish, client: FlaskClient, ask: Ask
) -> None:
    """The old path sends a Deprecation header, even with a refusal; its replacement never does."""
    publish()
    for path in ("/segmentation-voucher/", "/segmentation-voucher"):
        for orders in (3, -1):
            assert re.fullmatch(r"@\d+", ask(path, total_orders=orders).headers["Deprecation"])
    for path in ("/voucher", "/voucher?explain=true"):
        assert "Deprecation" not in ask(path).headers


def test_the_introduction_says_what_every_client_has_to_know(client: FlaskClient) -> None:
    """The introduction covers limits, keys, errors, headers and retries, has the version of /readyz and no HTML."""
    document = client.get("/openapi.json").json
    info = document["info"]
    for word in ("10,000", "4 MiB", "Authorization: Bearer", "application/problem+json", "Voucher-Run", "Retry-After"):
        assert word in info["description"], word
    assert info["version"] == client.get("/readyz").json["version"]
    assert info["license"]["identifier"] == "MIT"
    assert "<br" not in json.dumps(document)


@pytest.mark.parametrize("at", ["http://localhost:8000/openapi.json", "https://shop.example/select/openapi.json"])
def test_the_server_is_where_the_document_is(client: FlaskClient, at: str) -> None:
    """The server URL and the viewers' redirect are relative, so that they work behind a proxy with a prefix."""
    (server,) = client.get("/openapi.json").json["servers"]
    assert urljoin(at, server["url"]) == at.removesuffix("openapi.json")
    assert urljoin(urljoin(at, "redoc/"), client.get("/redoc/").location) == urljoin(at, "redoc")


def test_no_parameter_may_be_null(client: FlaskClient) -> None:
    """No parameter allows null, so that clients omit it and do not send the text "null"; `explain` is a boolean."""
    found = operations(client.get("/openapi.json").json)
    parameters = [each for operation in found.values() for each in operation.get("parameters", ())]
    assert {each["name"] for each in parameters} == {
        *("explain", "country", "run", "run_id", "limit", "before", "If-None-Match"),
        *("segment_name", "country_code", "separator", "bom"),
    }
    for parameter in parameters:
        for schema in within(parameter["schema"]):
            assert "null" not in (schema.get("type"), schema.get("default", ""))
            assert schema.get("default", "") is not None
            assert "anyOf" not in schema
        if parameter["name"] == "explain":
            assert parameter["schema"]["type"] == "boolean"


def test_a_parameter_given_twice_is_refused(publish: Publish, client: FlaskClient) -> None:
    """Every operation refuses a repeated parameter, even with equal values; the problem names it and shows both."""
    publish()
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    values = {"country": "Peru", "run": RUN, "before": RUN, "limit": "5", "explain": "true", "bom": "true"}
    values |= {"segment_name": "frequent_segment", "country_code": "Peru", "separator": "tab"}
    tried = 0
    for path, operation in operations(client.get("/openapi.json").json).items():
        for name in (each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"):
            twice = f"{path}?{name}={values[name]}&{name}={values[name]}"
            response = client.open(twice, **body(path, customer))
            assert (response.status_code, response.mimetype) == (422, "application/problem+json"), twice
            (error,) = response.json["errors"]
            assert (error["field"], error["value"]) == (name, f"{values[name]}, {values[name]}")
            assert "once" in error["detail"]
            tried += 1
    assert tried >= 21


def test_the_examples_of_parameters_are_answered(publish: Publish, client: FlaskClient) -> None:
    """The examples of parameters are valid for the published run, because Swagger sends them unchanged."""
    publish()
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    for path, operation in operations(client.get("/openapi.json").json).items():
        for parameter in operation.get("parameters", ()):
            if "example" in parameter and parameter["name"] != "run_id" and path != "/assignments.csv":
                query = {parameter["name"]: parameter["example"]}
                asked = client.open(path, query_string=query, **body(path, customer))
                assert asked.status_code == 200, (path, parameter["name"])
    assert client.get(f"/runs/{RUN}").status_code == 200


def test_a_response_may_get_new_fields(client: FlaskClient) -> None:
    """No response schema forbids additional fields, because strict clients would refuse a response with new ones."""
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert [each for each in within(schemas) if each.get("additionalProperties") is False] == []


@pytest.mark.parametrize("path", ["/voucher", "/segmentation-voucher/", "/vouchers"])
def test_every_example_of_an_answer_fits_it(client: FlaskClient, path: str) -> None:
    """The examples of responses and problems match their schemas."""
    document = client.get("/openapi.json").json
    (content,) = document["paths"][path]["post"]["responses"]["200"]["content"].values()
    examples = [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
    problem = document["components"]["schemas"]["Problem"]
    for schema, found in ((content["schema"], examples), (problem, [problem["example"]])):
        validator = Draft202012Validator(schema | {"components": document["components"]})
        for example in found:
            validator.validate(example)


def test_every_operation_documents_its_problems(client: FlaskClient, ask: Ask) -> None:
    """Every operation documents problems as 4XX and 5XX, for generated clients; the introduction lists their types."""
    document = client.get("/openapi.json").json
    for path, operation in operations(document).items():
        assert set(operation["responses"]) - {"4XX", "5XX"} == {"200"} | OTHER_STATUSES.get(path, set())
        for status in ("4XX",) if path.startswith("/ofrep/") else ("4XX", "5XX"):
            content = operation["responses"][status]["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    unpublished = ask()
    kind = f"| 503 | `{unpublished.json['type']}` | {unpublished.json['title']} |"
    assert kind in document["info"]["description"].splitlines()


def test_an_amount_and_an_explanation_are_told_apart(publish: Publish, client: FlaskClient) -> None:
    """The schema lists the explanation first, because it has all fields of the amount; there is an example of each."""
    publish()
    document = client.get("/openapi.json").json
    content = document["paths"]["/voucher"]["post"]["responses"]["200"]["content"]["application/json"]
    many = document["paths"]["/vouchers"]["post"]["responses"]["200"]["content"]["application/json"]
    component = "#/components/schemas/{}".format
    both = [{"$ref": component("Explanation")}, {"$ref": component("Answer")}]
    assert content["schema"] == {"anyOf": both}
    assert many["schema"]["items"] == {"anyOf": [*both, {"$ref": component("Problem")}]}
    assert content["examples"]["amount"]["value"] == {"voucher_amount": 2640}
    assert len(content["examples"]["explained"]["value"]) > 1
    customer = {"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}
    for explain in ("false", "true"):
        answer = client.post(f"/voucher?explain={explain}", json=customer).json
        Draft202012Validator(content["schema"] | {"components": document["components"]}).validate(answer)


@pytest.mark.parametrize(
    ("customer", "fits"),
    [
        ({"segment_name": "frequent_segment", "total_orders": 3}, True),
        ({"segment_name": "frequent_segment", "total_orders": 3.0, "last_order_ts": None, "more": 1}, True),
        ({"segment_name": "frequent_segment", "last_order_ts": "2018-05-03"}, False),
        ({"segment_name": "frequent_segment", "total_orders": None}, False),
        ({"segment_name": "frequent_segment", "total_orders": -1}, False),
        ({"segment_name": "frequent_segment", "total_orders": 3, "last_order_ts": "3 May"}, False),
        ({"segment_name": "recency_segment", "last_order_ts": "2018-05-03 10:30:00"}, True),
        ({"segment_name": "recency_segment", "total_orders": 3}, False),
        ({"segment_name": "vip_segment", "total_orders": 3}, False),
        ({"total_orders": 3}, False),
    ],
)
def test_a_request_fits_the_schema_of_its_kind_or_is_refused(
    publish: Publish, client: FlaskClient, customer: dict[str, object], fits: bool
) -> None:
    """Each kind has a schema that requires its measured field; the API accepts what matches it and refuses the rest."""
    publish()
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert schemas["Customer"]["discriminator"]["mapping"] == {
        "frequent_segment": "#/components/schemas/FrequentCustomer",
        "recency_segment": "#/components/schemas/RecencyCustomer",
    }
    customer = {"country_code": "Peru"} | customer
    validator = Draft202012Validator({"$ref": "#/components/schemas/Customer", "components": {"schemas": schemas}})
    assert validator.is_valid(customer) == fits
    assert client.post("/voucher", json=customer).status_code == (200 if fits else 422)


def test_health_says_what_its_ages_mean(client: FlaskClient) -> None:
    """The document says that `freshness` can fail because of the check's age, but never because of the data's age."""
    fields = client.get("/openapi.json").json["components"]["schemas"]["Health"]["properties"]
    assert "`freshness` fails" in fields["max_age_hours"]["description"]
    assert "never fails" in fields["data_age_days"]["description"]


def test_the_examples_of_the_document_are_answered(publish: Publish, client: FlaskClient) -> None:
    """The API answers the examples of requests: one per kind of the published run, single, as array, as NDJSON and CSV."""
    publish()
    paths = client.get("/openapi.json").json["paths"]
    examples = paths["/voucher"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert sorted(examples) == ["frequent_segment", "recency_segment"]
    for example in examples.values():
        assert client.post("/voucher", json=example["value"]).status_code == 200
    for path in ("/vouchers", "/vouchers.ndjson"):
        ((media_type, content),) = paths[path]["post"]["requestBody"]["content"].items()
        assert content["schema"]
        body = content["example"] if isinstance(content["example"], str) else json.dumps(content["example"])
        answer = client.post(path, data=body, content_type=media_type)
        assert (answer.status_code, answer.text.count("voucher_amount")) == (200, 2)
        assert [answer.mimetype] == [*paths[path]["post"]["responses"]["200"]["content"]]
    ((media_type, content),) = paths["/vouchers.csv"]["post"]["requestBody"]["content"].items()
    answer = client.post("/vouchers.csv", data=content["example"], content_type=media_type)
    assert [bool(row["voucher_amount"]) for row in csv.DictReader(answer.text.splitlines())] == [True, True]


@pytest.mark.parametrize("page", ["/redoc", "/swagger"])
def test_the_documentation_pages_need_no_other_host(client: FlaskClient, page: str) -> None:
    """The viewers load every script and style from this host, and their policy forbids other hosts."""
    assert client.get(f"{page}/").status_code == 302
    response = client.get(page)
    html = re.sub(r"<!--.*?-->", "", response.text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", html)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", html)
    assert assets
    for asset in [*assets, "openapi.json"]:
        assert client.get(f"/{asset}").status_code == 200, asset
