"""Countries are found by any spelling, ISO code or name, and have the currency of their history's time."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from flask.testing import FlaskClient

from app.places import territories
from app.places.countries import AmbiguousCountryError, Countries, UnknownCountryError
from app.places.territories import Currency, currency, territory
from tests.app.conftest import Ask, start, stop

Publish = Callable[..., None]

REAL = {"Australia": ("AU", "AUS", "036"), "China": ("CN", "CHN", "156"), "Latvia": ("LV", "LVA", "428")} | {
    "Peru": ("PE", "PER", "604")
}


@pytest.mark.parametrize("country", REAL)
def test_every_iso_code_of_a_country_finds_it(country: str) -> None:
    """The codes of two letters, three letters and three digits find a country in any case, with white space too."""
    known = Countries(REAL)
    for code in REAL[country]:
        for written in (code, code.lower(), f" {code} ", code.title()):
            assert known.find(written) == country


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Perú", "PE"),
        ("Türkiye", "TR"),
        ("Turkey", "TR"),
        ("TÜRKEI", "TR"),
        ("Hong Kong", "HK"),
        ("Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire", "CI"),
        ("Cote d'Ivoire", "CI"),
        ("Bosnia and Herzegovina", "BA"),
        ("Bosnia & Herzegovina", "BA"),
        ("Deutschland", "DE"),
        ("Россия", "RU"),
        ("مصر", "EG"),
        ("UK", "GB"),
        ("SUN", None),  # the Soviet Union became several countries
        ("XX", None),
        ("Atlantis", None),
        ("", None),
    ],
)
def test_names_and_codes_mean_a_territory(name: str, code: str | None) -> None:
    """English and other common names mean a territory, with or without accents; what means none or several gives None."""
    assert territory(name) == code


def test_no_name_means_two_territories() -> None:
    """In the languages used, each name stands for one territory, and no name is the code of another one."""
    of_name: dict[str, set[str]] = {}
    known = set(territories._codes().values())
    for language in territories.LANGUAGES:
        for code, name in territories.Locale.parse(language).territories.items():
            if code in known:
                of_name.setdefault(territories._key(name), set()).add(code)
    for name, code in territories.OTHER_NAMES.items():
        of_name.setdefault(territories._key(name), set()).add(code)
    assert {name: codes for name, codes in of_name.items() if len(codes) > 1} == {}
    assert [name for name, codes in of_name.items() if territories._codes().get(name, *codes) not in codes] == []


def test_the_spelling_of_the_history_goes_first() -> None:
    """A history that spells PE itself answers PE from it; its other codes and its name lead there too."""
    known = Countries(["PE", "Latvia"])
    assert [known.find(given) for given in ("PE", "pe", "PER", "Peru", "604")] == ["PE"] * 5
    both = Countries(["Peru", "PE"])
    assert (both.find("pe"), both.find("peru ")) == ("PE", "Peru")


def test_a_code_that_may_mean_two_countries_of_the_history_is_refused_by_their_names() -> None:
    """With both Peru and PE in the history, PER is refused; the error names both."""
    with pytest.raises(AmbiguousCountryError, match="country_code may mean any of 'Peru', 'PE'; send one of them"):
        Countries(["Peru", "PE"]).find("PER")


def test_a_country_without_answers_is_unknown_even_by_its_code() -> None:
    """The code of a country that the history lacks is as unknown as any other text."""
    with pytest.raises(UnknownCountryError, match="Unknown country_code 'DE'"):
        Countries(REAL).find("DE")


@pytest.mark.parametrize(
    ("code", "day", "expected"),
    [
        ("PE", date(2018, 7, 31), "PEN"),
        ("LV", date(2018, 7, 31), "EUR"),
        ("LV", date(2013, 12, 31), "LVL"),
        ("HR", date(2018, 7, 31), "HRK"),
        ("HR", date(2024, 1, 1), "EUR"),
        ("PA", date(2018, 7, 31), "PAB"),
        (None, date(2018, 7, 31), None),
    ],
)
def test_a_currency_is_that_of_the_day(code: str | None, day: date, expected: str | None) -> None:
    """A country's currency is the one in use on the day, and its own one if it has two."""
    assert currency(code, day) == (Currency(expected, "country") if expected else None)


def test_codes_names_and_spellings_get_one_answer(publish: Publish, ask: Ask, client: FlaskClient) -> None:
    """/voucher, /segments and the downloads find Peru by all of its spellings."""
    publish()
    for given in ("PE", "PER", "pe", "peru", "Peru ", "Perú", "604"):
        assert ask.amount(country_code=given) == 1000
        rows = client.get("/segments", query_string={"country": given}).json["segments"]
        assert {row["country_code"] for row in rows} == {"Peru"}
    assert ask("/voucher?explain=true", country_code="PER").json["country_code"] == "Peru"


def test_an_ambiguous_code_is_refused(publish: Publish, ask: Ask) -> None:
    """If the history spells Peru in two ways that are not one name, a third code is refused with both names."""
    publish(countries={"Peru": 30, "PE": 5})
    problem = ask(country_code="PER")
    assert problem.status_code == 422
    assert problem.json["errors"] == [
        {
            "field": "country_code",
            "detail": "may mean any of 'Peru', 'PE'; send one of them",
            "value": "PER",
        }
    ]
    assert ask("/voucher?explain=true", country_code="pe").json["country_code"] == "PE"


def test_a_currency_comes_from_the_country_at_the_end_of_its_history(publish: Publish, ask: Ask) -> None:
    """An explanation has the currency in use when the history ended; a country that is not known has none."""
    publish(countries={"Latvia": 30, "Utopia": 30}, data_to=datetime(2013, 12, 31, tzinfo=UTC))
    found = ask("/voucher?explain=true", country_code="LV").json
    assert (found["currency"], found["currency_basis"]) == ("LVL", "country")
    found = ask("/voucher?explain=true", country_code="Utopia").json
    assert (found["currency"], found["currency_basis"]) == (None, None)
    assert ask(country_code="LV").json == {"voucher_amount": 1000}


def test_the_setting_replaces_the_currency_of_every_country(database: str, tables: object) -> None:
    """With VOUCHER_CURRENCY, all amounts have this currency, also where the country is not known."""
    tables.publish(countries={"Latvia": 30, "Utopia": 30})  # type: ignore[attr-defined]
    app = start(database, currency="USD")
    try:
        rows = app.test_client().get("/segments").json["segments"]
    finally:
        stop(app)
    assert {(row["currency"], row["currency_basis"]) for row in rows} == {("USD", "setting")}
