"""Finding a country on the page, and the overview of all countries."""

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from tests.app.cleaned_rows import CleanedRows
from tests.app.conftest import KINDS, RUN
from tests.app.page.conftest import Publish, part, reread, words

KIND = {"frequent_segment": ("total_orders", [("0-9", 0, 9, 7), ("10+", 10, None, 8)])}


@pytest.mark.parametrize("country", ["Peru", "peru", "%20PERU%09", "pe", "PER", "604", "Perú"])
def test_the_country_stands_in_the_address(still: FlaskClient, country: str) -> None:
    """The country in the URL may be any spelling, ISO code or name; the page shows the stored spelling."""
    page = still.get(f"/?country={country}")
    assert page.status_code == 200
    assert "Segments of Peru" in words(page.text)
    assert re.search(r'<a href="/\?country=Peru" aria-current="true">Peru</a>', page.text)
    assert "/segments.csv?country=Peru" in page.text


def test_another_country_keeps_the_rest_of_the_place(still: FlaskClient) -> None:
    """The links to other countries keep the tried customer and the compared runs, and drop other parameters."""
    page = still.get(f"/?country=Peru&segment_name=frequent_segment&total_orders=7&old={RUN}&new={RUN}&more=1").text
    link = unescape(re.search(r'<a href="(/\?country=Latvia[^"]*)"', page)[1])
    assert link == f"/?country=Latvia&segment_name=frequent_segment&total_orders=7&old={RUN}&new={RUN}"
    assert f'<input type="hidden" name="old" value="{RUN}">' in page


def test_an_unknown_country_is_met_with_the_known_ones(still: FlaskClient) -> None:
    """An unknown country gets a 404 with links to the known countries, and no section of another country's page."""
    page = still.get("/?country=Atlantis")
    assert page.status_code == 404
    assert "There is no voucher for “Atlantis”" in words(page.text)
    assert re.findall(r'<a href="/\?country=([^"]+)">', page.text) == ["Latvia", "Peru", "S%C3%A3o+Tom%C3%A9"]
    assert '<section id="segments"' not in page.text


def test_a_code_of_two_countries_is_refused_with_both(publish: Publish, client: FlaskClient) -> None:
    """A code that may mean several countries gets a 422 that names them, with links to each."""
    publish(countries={"Peru": 30, "Perú": 10, "Chile": 5})
    page = client.get("/?country=PE")
    assert page.status_code == 422
    assert "“PE” may mean several countries It may mean any of 'Peru', 'Perú'; send one of them." in words(page.text)
    assert re.findall(r'<a href="/\?country=([^"]+)">', page.text) == ["Chile", "Peru", "Per%C3%BA"]
    assert client.get("/?country=Per%C3%BA").status_code == 200


def test_many_countries_are_found_by_typing(publish: Publish, client: FlaskClient) -> None:
    """More than eight countries are found in a field that suggests all names in order, and keeps the compared runs."""
    countries = {f"Land {number}": 10 + number for number in range(9)}
    publish(countries=countries, kinds=KIND)
    page = client.get(f"/?old={RUN}").text
    form = page.partition('<form class="find"')[2].partition("</form>")[0]
    assert '<input id="find" name="country" list="find-names" value="Land 8"' in form
    assert re.findall('<option value="(.*?)">', form) == [*countries]
    assert f'<input type="hidden" name="old" value="{RUN}">' in form
    assert '<input id="country" name="country" list="find-names" value="Land 8"' in page.partition('id="try"')[2]
    unknown = client.get("/?country=Atlantis")
    assert unknown.status_code == 404
    assert '<input id="find-again" name="country" list="find-again-names" value=""' in unknown.text


def rows(page: str, kind: int = 1) -> dict[str, list[str]]:
    """Return the texts of the overview's cells, by country, of the first kind or another one."""
    table = page.partition(f'<h3 id="overview-{kind}">')[2].partition("</table>")[0]
    found = [re.findall("<t[hd][ >].*?</t[hd]>", row) for row in re.findall("<tr.*?</tr>", table, re.DOTALL)[1:]]
    return {words(name): [words(f"<{cell}") for cell in cells] for name, *cells in found}


def test_the_overview_has_all_amounts(still: FlaskClient) -> None:
    """The overview has a table for each kind, with the amounts of /segments, the countries by name."""
    page = still.get("/?country=Peru").text
    segments = still.get("/segments").json["segments"]
    for number, kind in enumerate(KINDS, 1):
        wanted: dict[str, list[str]] = {}
        for row in segments:
            if row["segment_name"] == kind:
                name = f"{row['country_code']} {row['currency'] or ''}".strip()
                wanted.setdefault(name, []).append(f"{row['voucher_amount']:,}")
        found = rows(page, number)
        assert found == wanted
        assert [*found] == ["Latvia EUR", "Peru PEN", "São Tomé"]
    assert page.count('<tr class="chosen"><th scope="row"><a href="/?country=Peru" aria-current="true">') == len(KINDS)


def test_the_overview_has_the_largest_countries_until_all_are_asked_for(publish: Publish, client: FlaskClient) -> None:
    """Of more than 40 countries, the overview has the 40 largest and the chosen one; a link shows all."""
    publish(countries={f"Land {number}": number for number in range(10, 55)}, kinds=KIND)
    page = client.get("/?country=land+10").text
    assert [*rows(page)] == ["Land 10", *(f"Land {number}" for number in range(15, 55))]
    assert "Here are Land 10 and the countries with most rows, 41 of 45." in part(page, "overview")
    assert "All 45 countries" in part(page, "overview")
    everything = client.get(unescape(re.search(r'<a href="([^"]*overview=all[^"]*)"', page)[1])).text
    assert [*rows(everything)] == [f"Land {number}" for number in range(10, 55)]
    assert "Only the largest countries" in part(everything, "overview")
    assert 'aria-current="true">Land 10<' in everything


def test_forty_countries_are_all_shown(publish: Publish, client: FlaskClient) -> None:
    """Up to 40 countries are all in the overview, without a link to more."""
    publish(countries={f"Land {number}": number for number in range(10, 50)}, kinds=KIND)
    page = client.get("/").text
    assert len(rows(page)) == 40
    assert "overview=all" not in page


def test_the_overview_tells_how_sure_each_amount_is(publish: Publish, client: FlaskClient, run: CleanedRows) -> None:
    """Each cell has its certainty as a mark and in words; a segment that a country lacks is an empty cell."""
    evidence = {
        "clear": "sends = 30, share_low = 0.6, share_high = 0.7, clear = true",
        "not clear": "sends = 30, share_low = 0.4, share_high = 0.7, clear = false",
        "too few sends": "sends = 2",
        "a guess": "basis = 'country'",
        "a tie": "tied = true",
        "chosen by effect": "basis = 'effect'",
    }
    labels = [(str(place), place, place, 100 + place) for place in range(len(evidence))]
    kinds = {"frequent_segment": ("total_orders", labels)}
    publish(countries={"Peru": 10, "Chile": 9}, kinds=kinds, uses=4, runner_up=(3520, 3))
    for place, change in enumerate(evidence.values()):
        run.execute(f"UPDATE voucher.segment SET {change} WHERE position = {place}")
    run.execute("DELETE FROM voucher.segment WHERE (country_code, position) = ('Chile', 0)")
    reread(run, client)
    page = client.get("/").text
    said = ["100", *(f"{101 + place} {sure}" for place, sure in enumerate([*evidence][1:]))]
    assert rows(page) == {"Chile CLP": ["", *said[1:]], "Peru PEN": said}
    peru = page.partition('<tr class="chosen">')[2].partition("</tr>")[0]
    assert re.findall('<b class="(.*?)">', peru) == ["clear", "unclear", "few", "guess", "tie", "effect"]
