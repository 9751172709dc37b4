"""Which texts name the same country, and which texts are blank."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.countries import BLANK, WHITE, country_key, country_name, hint, is_blank, is_readable

# ruff: noqa: RUF001  (letters that look alike are what this is about)

EVERY = [chr(point) for point in range(0x110000)]
# All except ideographs, Hangul syllables and private use, which behave alike within each group.
BLOCKS = [(0, 0x3400), (0xA000, 0xAC00), (0xF900, 0x17000), (0x18D00, 0x20000), (0xE0000, 0xE1001)]
CHARACTERS = [char for first, behind in BLOCKS for char in EVERY[first:behind]]
SAME = [
    ("Peru", " PERU\t"),
    ("Peru", "Peru\u00a0"),
    ("Peru", "\ufeffPeru"),
    ("Peru", "Pe\u00adru\u200b"),
    ("Peru", "\u202aPeru\u202c"),
    ("Peru", "Pe\u200dru\ufe0f"),
    ("Peru", "Ｐｅｒｕ"),
    ("Peru", "\u2800Peru\u3164"),
    ("Côte d'Ivoire", "CO\u0302TE  d'ivoire"),
    ("Côte d'Ivoire", "Co\u200d\u0302te\u202fd'Ivoire\x85"),
    ("São Tomé", unicodedata.normalize("NFD", "SÃO\u00a0TOMÉ")),
    ("Türkiye", "TÜRKİYE"),
    ("Türkiye", "TURKI\u0307YE".replace("U", "U\u0308")),
    ("Kıbrıs", "KIBRIS"),
    ("Weißrussland", "WEISSRUSSLAND"),
    ("Weißrussland", "weiẞrussland"),
    ("Ελλάς", "ΕΛΛΆΣ"),
    ("\u212bland", "åland"),  # the sign of the unit Ångström
    ("대한민국", unicodedata.normalize("NFD", "대한민국")),
]
DIFFERENT = [
    ("Niger", "Nigeria"),
    ("Cote d'Ivoire", "Côte d'Ivoire"),
    ("Côte d'Ivoire", "Côte d’Ivoire"),
    ("Guinea Bissau", "Guinea-Bissau"),
    ("Guinea Bissau", "GuineaBissau"),
    ("Реrи", "Peru"),  # Cyrillic
    ("Peru", "Peru?"),
]
NAMES = [
    (" Côte\u00a0\u2003d'Ivoire\u200b ", "Côte d'Ivoire"),
    ("Co\u0302te", "Côte"),
    ("PERU\ufeff", "PERU"),
    ("Ｐｅｒｕ", "Ｐｅｒｕ"),
    ("Pe\u200dru", "Peru"),
    ("ශ්\u200dරී ලංකා", "ශ්\u200dරී ලංකා"),  # Sri Lanka: the joiner changes how it is written
    ("ایران\u200cزمین", "ایران\u200cزمین"),
    ("\u00a0", ""),
    ("\u200d\ufe0f", ""),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_country(one: str, other: str) -> None:
    """Case, form of accents, width, white space, invisible characters and the Turkish i make no difference."""
    assert country_key(one) == country_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_countries(one: str, other: str) -> None:
    """Different letters, apostrophes, hyphens and inner blanks make different countries."""
    assert country_key(one) != country_key(other)


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_name_stays_a_spelling_of_the_data(text: str, name: str) -> None:
    """The stored name keeps the data's letters and case, without invisible characters that make no difference."""
    assert country_name(text) == name


def test_white_space_is_what_python_strips() -> None:
    """White space is each character that str.strip() removes, and the Braille blank."""
    assert {char for char in EVERY if re.fullmatch(f"[{WHITE}]", char)} == {
        "\u2800",
        *(char for char in EVERY if not char.strip()),
    }


def test_every_character_has_one_reading() -> None:
    """`country_name` and `country_key` change nothing the second time, agree, and are empty for the same texts."""
    for char in CHARACTERS:
        for text in (char, f"Pe{char}ru", f"{char}日\u0301{char} x"):
            name, key = country_name(text), country_key(text)
            assert (country_name(name), country_key(name), country_key(key)) == (name, key, key), ascii(text)
            assert (not name) == (not key) == is_blank(text), ascii(text)


def test_control_characters_are_no_text() -> None:
    """A control character is either white space or not readable, and all other characters are readable."""
    controls = {char for char in EVERY if unicodedata.category(char) == "Cc"}
    assert {char for char in EVERY if not is_readable(char)} == {char for char in controls if char.strip()}


@given(st.text(st.one_of(st.characters(), st.sampled_from("iIİıßẞςΣ\u0307\u0301\u0345\u200d\u034f \u00a0´ﬁ"))))
def test_names_and_keys_are_stable(text: str) -> None:
    """For any text, reading a name or key again changes nothing, and the normalization form does not change the key."""
    assert country_name(country_name(text)) == country_name(text)
    assert country_key(country_key(text)) == country_key(country_name(text)) == country_key(text)
    assert country_key(unicodedata.normalize("NFD", text)) == country_key(text)
    assert is_blank(text) == (not country_name(text)) == bool(re.fullmatch(f"[{BLANK}]*", text))


@pytest.mark.parametrize(
    ("given", "known", "said"),
    [
        ("PERRU", ["Peru", "Chile"], "did you mean Peru?"),
        ("Atlantis", ["Peru", "Chile"], "it has Chile, Peru"),
        ("Atlantis", [], "it has none"),
        ("Atlantis", [f"{number:02}" for number in range(30)], f"it has {', '.join(f'{n:02}' for n in range(20))}"),
    ],
)
def test_an_unknown_country_gets_a_hint(given: str, known: list[str], said: str) -> None:
    """The hint is the nearest country, or the first twenty of those that there are."""
    assert hint(given, known) == said
