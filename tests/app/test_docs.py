"""The documentation: valid, complete, and fetched from nowhere else."""

import json
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

Publish = Callable[..., None]


@pytest.mark.parametrize("published", [False, True])
def test_the_openapi_document_is_valid(publish: Publish, client: FlaskClient, published: bool) -> None:
    """Before a publication and after, and it says so in no other format."""
    if published:
        publish()
    response = client.get("/openapi.json")
    assert response.mimetype == "application/json"
    validate(response.json)


VOUCHER = {"200", "400", "404", "413", "415", "422", "500", "503"}
PATHS = {"/voucher": VOUCHER, "/segmentation-voucher/": VOUCHER, "/vouchers": VOUCHER - {"404"}}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_and_problem_has_examples_that_fit_it(client: FlaskClient, path: str) -> None:
    """Each status has its own, and each is what its schema says; /vouchers has no 404, a customer's is in its 200."""
    document = client.get("/openapi.json").json
    responses = document["paths"][path]["post"]["responses"]
    assert set(responses) == PATHS[path]
    for status, response in responses.items():
        for media_type, content in response["content"].items():
            examples = (
                [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
            )
            for example in examples:
                Draft202012Validator(content["schema"] | {"components": document["components"]}).validate(example)
            if status != "200":
                assert media_type == "application/problem+json"
                assert {example["status"] for example in examples} == {int(status)}


def test_an_amount_and_an_explanation_are_told_apart(publish: Publish, client: FlaskClient) -> None:
    """What is answered fits exactly one of the two schemas, and the examples are one of each."""
    publish()
    document = client.get("/openapi.json").json
    content = document["paths"]["/voucher"]["post"]["responses"]["200"]["content"]["application/json"]
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
    """Each kind of segment has a schema of its own, which asks for the field that it measures."""
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


def test_metrics_are_documented_as_text(client: FlaskClient) -> None:
    """Their answer is text/plain, no JSON."""
    responses = client.get("/openapi.json").json["paths"]["/metrics"]["get"]["responses"]
    assert list(responses["200"]["content"]) == ["text/plain"]


def test_health_says_what_its_ages_mean(client: FlaskClient) -> None:
    """The document tells the age of the check, which may fail, from the age of the data, which never does."""
    fields = client.get("/openapi.json").json["components"]["schemas"]["Health"]["properties"]
    assert "`freshness` fails" in fields["max_age_hours"]["description"]
    assert "never a failure" in fields["data_age_days"]["description"]


def test_the_examples_of_the_document_are_answered(publish: Publish, client: FlaskClient) -> None:
    """One for each kind of the published run, alone and together, as an array and as lines."""
    publish()
    paths = client.get("/openapi.json").json["paths"]
    examples = paths["/voucher"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert sorted(examples) == ["frequent_segment", "recency_segment"]
    for example in examples.values():
        assert client.post("/voucher", json=example["value"]).status_code == 200
    many = paths["/vouchers"]["post"]["requestBody"]["content"]
    assert sorted(many) == ["application/json", "application/jsonl", "application/x-ndjson"]
    for media_type, content in many.items():
        body = content["example"] if isinstance(content["example"], str) else json.dumps(content["example"])
        answer = client.post("/vouchers", data=body, content_type=media_type)
        assert (answer.status_code, answer.text.count("voucher_amount")) == (200, 2)


@pytest.mark.parametrize("page", ["/redoc", "/swagger"])
def test_the_documentation_pages_need_no_other_host(client: FlaskClient, page: str) -> None:
    """Every script and style is served from here, and the browser is told to fetch from nowhere else."""
    response = client.get(f"{page}/", follow_redirects=True)
    assert (response.status_code, response.request.path) == (200, page)
    html = re.sub(r"<!--.*?-->", "", response.text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?:https?:)?//", html)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assets = re.findall(r"(?:src|href)=\"([^\"]+)\"", html)
    assert assets
    for asset in [*assets, "openapi.json"]:
        assert client.get(f"/{asset}").status_code == 200, asset
