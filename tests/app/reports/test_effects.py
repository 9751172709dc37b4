"""What vouchers did, over HTTP: the published tables effect and policy."""

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from flask.testing import FlaskClient

from tests.app.conftest import RUN
from tests.app.outcomes import EFFECTS, POLICIES, effect, policy

Publish = Callable[..., None]

LATVIA = {"country_code": "Latvia"}


@pytest.fixture
def told(publish: Publish, client: FlaskClient) -> FlaskClient:
    """Return the client of an app with outcomes of Peru and Latvia, and none of São Tomé."""
    recency = effect(7, "180+", segment_name="recency_segment", **LATVIA)
    publish(effects=[recency, *EFFECTS, effect(7, **LATVIA)], policies=[*POLICIES, policy("uniform", 0.2, **LATVIA)])
    return client


def test_effects_are_the_published_tables(told: FlaskClient) -> None:
    """/effects has every column of both tables, in order, with shares to four digits and costs to two."""
    response = told.get("/effects")
    assert (response.status_code, response.headers["Voucher-Run"], response.json["run_id"]) == (200, RUN, RUN)
    effects, policies = response.json["effects"], response.json["policies"]
    assert [(row["country_code"], row["segment"], row["voucher_amount"]) for row in effects] == [
        *(("Latvia", "0-4", 7), ("Latvia", "180+", 7), ("Peru", "0-4", 1000), ("Peru", "0-4", 1500)),
        *(("Peru", "5-13", 1100), ("Peru", "5-13", 2200), ("Peru", "14-37", 1200), ("Peru", "14-37", 1250)),
        *(("Peru", "38+", 1300), ("Peru", "38+", 1301)),
    ]
    assert effects[3] == asdict(EFFECTS[0]) | {
        **{"voucher_amount": 1500, "compared_with": 1000, "share_low": 0.3333, "share_high": 0.3667},
        **{"difference": 0.0488, "further_cost": 4588.3},
    }
    assert (effects[2]["cost"], effects[2]["compared_with"], effects[2]["further_cost"]) == (301.23, None, None)
    assert effects[5] == asdict(EFFECTS[3]) | {"voucher_amount": 2200}
    assert (effects[5]["share"], effects[5]["refused"]) == (None, "only 3 of the 10 clusters needed")
    assert (effects[9]["difference"], effects[9]["further_cost"]) == (-0.1, None)
    assert [(row["country_code"], row["policy"], row["value"]) for row in policies] == [
        *(("Latvia", "uniform", 0.2), ("Peru", "most used", 0.3142), ("Peru", "best by outcome", None)),
        ("Peru", "uniform", 0.25),
    ]
    assert policies[1] == asdict(POLICIES[2]) | {
        **{"value": 0.3142, "value_low": 0.3042, "value_high": 0.3242, "cost": 314.16}
    }
    assert policies[2] == asdict(POLICIES[1])


def test_effects_are_csv_by_path_or_by_accept(told: FlaskClient) -> None:
    """The CSV has the effects with the same columns in the same order as the JSON, and null is empty."""
    by_path = told.get("/effects.csv")
    by_accept = told.get("/effects", headers={"Accept": "text/csv"})
    assert by_path.data == by_accept.data
    assert by_path.content_type == by_accept.content_type == "text/csv; charset=utf-8"
    assert by_path.headers["Voucher-Run"] == by_accept.headers["Voucher-Run"] == RUN
    shown = told.get("/effects")
    assert by_accept.headers["Vary"] == shown.headers["Vary"] == "Accept"
    found = list(csv.DictReader(io.StringIO(by_path.text, newline="")))
    assert found == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in shown.json["effects"]
    ]


@pytest.mark.parametrize("country", ["Peru", "peru", "%20PERU%09"])
def test_effects_of_one_country(told: FlaskClient, country: str) -> None:
    """The country matches as in /segments; one without outcomes has empty lists, and an unknown one gets a 404."""
    both, rows = told.get(f"/effects?country={country}").json, told.get(f"/effects.csv?country={country}").text
    assert {row["country_code"] for row in both["effects"] + both["policies"]} == {"Peru"}
    assert (len(both["effects"]), len(both["policies"]), len(rows.splitlines())) == (8, 3, 9)
    none = told.get("/effects?country=São Tomé")
    assert (none.status_code, none.json["effects"], none.json["policies"]) == (200, [], [])
    for path in ("/effects", "/effects.csv"):
        response = told.get(f"{path}?country=Atlantis")
        assert (response.status_code, response.json["type"]) == (404, "urn:voucher-select:unknown-country")
        assert told.get(f"{path}?country=%20").status_code == 422


def test_a_run_without_outcomes_has_no_effects(publish: Publish, client: FlaskClient) -> None:
    """Before the first run there is a 503; if no outcome is known, the lists are empty and the CSV has its header."""
    assert client.get("/effects").status_code == client.get("/effects.csv").status_code == 503
    publish()
    body = client.get("/effects").json
    assert (body["effects"], body["policies"]) == ([], [])
    assert client.get("/effects.csv").text.splitlines() == [",".join(list(asdict(EFFECTS[0])))]


def test_effects_calculate_nowhere(publish: Publish, client: FlaskClient) -> None:
    """Text that a spreadsheet would treat as a formula is prefixed with `'` in CSV; negative numbers are numbers."""
    publish(countries={"=cmd()": 5}, effects=[replace(EFFECTS[-1], country_code="=cmd()", refused="@why")])
    [row] = client.get("/effects").json["effects"]
    assert (row["country_code"], row["refused"]) == ("=cmd()", "@why")
    [_, line] = client.get("/effects.csv").text.splitlines()
    assert line.startswith("'=cmd(),frequent_segment,38+,1301,")
    assert line.endswith(",-0.1,-0.15,-0.05,,'@why")
