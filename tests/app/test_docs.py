"""The documentation: valid, complete, and fetched from nowhere else."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
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


@pytest.mark.parametrize("path", ["/voucher", "/segmentation-voucher/"])
def test_both_paths_show_an_answer_and_every_problem(client: FlaskClient, path: str) -> None:
    """Each status has an example that bears it."""
    responses = client.get("/openapi.json").json["paths"][path]["post"]["responses"]
    assert sorted(responses) == ["200", "400", "404", "413", "415", "422", "500", "503"]
    assert responses.pop("200")["content"]["application/json"]["example"] == {"voucher_amount": 2640}
    for status, response in responses.items():
        assert response["content"]["application/problem+json"]["example"]["status"] == int(status)


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
    """One for each kind of the published run, whose names the document lists."""
    publish()
    document = client.get("/openapi.json").json
    examples = document["paths"]["/voucher"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    kinds = document["components"]["schemas"]["Customer"]["properties"]["segment_name"]["enum"]
    assert sorted(examples) == kinds == ["frequent_segment", "recency_segment"]
    for example in examples.values():
        assert client.post("/voucher", json=example["value"]).status_code == 200


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
