"""ISO codes, names and currencies of the world's countries, from Unicode's CLDR by Babel.

A territory is named by its ISO 3166 code of two letters, such as PE.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Literal

from babel import Locale
from babel.core import get_global
from babel.numbers import get_territory_currencies, is_currency

from shared.countries import country_key

# The languages that are official in most countries. All of CLDR's 107 languages would take 75 MB in each process; these
# take 10.
LANGUAGES = ("en", "fr", "ar", "es", "pt", "nl", "de", "ru", "it")
# English names in common use that CLDR spells otherwise or Babel leaves out.
OTHER_NAMES = MappingProxyType(
    {
        "Burma": "MM",
        "Czech Republic": "CZ",
        "Great Britain": "GB",
        "Hong Kong": "HK",
        "Ivory Coast": "CI",
        "Macao": "MO",
        "Macau": "MO",
        "Macedonia": "MK",
        "Myanmar": "MM",
        "Palestine": "PS",
        "Swaziland": "SZ",
        "Turkey": "TR",
        "UAE": "AE",
    }
)


@dataclass(frozen=True)
class Currency:
    """The ISO 4217 code of a currency, and whether the country or the setting VOUCHER_CURRENCY told it."""

    code: str
    basis: Literal["country", "setting"]


def territory(country: str) -> str | None:
    """Return the territory that a name or an ISO code of two letters, three letters or three digits means.

    Case, accents and the shape of apostrophes make no difference, and "&" is "and". None if it means none, or several,
    as the code of a former country may.
    """
    return _names().get(_key(country)) or _codes().get(_key(country))


def is_currency_code(code: str) -> bool:
    """Return whether this is an ISO 4217 code in capital letters."""
    return is_currency(code)


def currency(code: str | None, day: date) -> Currency | None:
    """Return the currency of a territory on a day, the main one if there are several; None if it is unknown."""
    found = get_territory_currencies(code, start_date=day) if code else []
    return Currency(found[0], "country") if found else None


@cache
def _names() -> Mapping[str, str]:
    """Return the territory of each name, by its key. In all these languages, no name means two territories."""
    known = {*_codes().values()}
    of_languages = (pair for language in LANGUAGES for pair in Locale.parse(language).territories.items())
    return {_key(name): code for name, code in OTHER_NAMES.items()} | {
        _key(name): code for code, name in of_languages if code in known
    }


@cache
def _codes() -> Mapping[str, str]:
    """Return the territory of each ISO 3166 code, also of former ones, by its key."""
    english = map(str, Locale.parse("en").territories)
    regions = {code for code in english if len(code) == 2 and get_territory_currencies(code)}
    former = {str(old): str(new[0]) for old, new in get_global("territory_aliases").items() if len(new) == 1}
    return {_key(code): code for code in regions} | {
        _key(old): new for old, new in former.items() if new in regions and old not in regions
    }


def _key(text: str) -> str:
    letters = "".join(c for c in unicodedata.normalize("NFD", country_key(text)) if not unicodedata.combining(c))
    return letters.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("&", "and")
