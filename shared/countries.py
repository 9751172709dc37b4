"""Compare country names, and recognise blank ones.

`pipeline` reads files, compares countries in rules and groups spellings with it; `app` reads requests. Names match like
identifiers in Unicode (NFKC_Casefold, UAX #31). These make no difference: case, the form of accents, full-width
letters, white space at the ends, the number and kind of blanks inside, and invisible characters. The two Turkish
letters i count as i. Apostrophes and hyphens of different shapes stay different, because a person must decide about
them.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

# Classes of characters for a regular expression of Python or RE2.
# White space: what str.strip() removes, and the blank of Braille.
WHITE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000"
# Invisible characters. Unicode calls these and JOINERS "default ignorable".
INVISIBLE = (
    "\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# Characters that shape the letters around them in Persian, Sinhala and other scripts, all of them from U+0590 on.
JOINERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
BLANK = WHITE + INVISIBLE + JOINERS

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_IGNORED = re.compile(f"[{INVISIBLE}{JOINERS}]")
_JOINERS_WITHOUT_USE = re.compile(f"(?<![^\\0-\u058f{WHITE}])[{JOINERS}]+")
_WHITE = re.compile(f"[{WHITE}]+")
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # those that are not white space


def country_name(text: str) -> str:
    """Return the name as it is stored and displayed, in NFC; "" if the text is blank.

    White space at the ends and invisible characters are removed, and each run of white space inside becomes one blank.
    Letters and their case stay.
    """
    if text.isascii():
        return " ".join(text.split())
    visible = _JOINERS_WITHOUT_USE.sub("", unicodedata.normalize("NFC", _INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFC", _WHITE.sub(" ", visible).strip(" "))


def country_key(text: str) -> str:
    """Return a key that is equal for all spellings of a country; "" if the text is blank."""
    if text.isascii():
        return " ".join(text.lower().split())
    while (folded := _folded(text)) != text:
        text = folded
    return text


def hint(country: str, known: Iterable[str]) -> str:
    """Return what an error says of a country that is not `known`: the nearest one, or the first twenty."""
    names = {country_key(name): name for name in sorted(known)}
    if near := get_close_matches(country_key(country), names, n=1):
        return f"did you mean {names[near[0]]}?"
    return f"it has {', '.join([*names.values()][:20]) or 'none'}"


def is_blank(text: str) -> bool:
    """Return whether the text has no visible character."""
    return not (text.strip() if text.isascii() else country_key(text))


def is_readable(text: str) -> bool:
    """Return whether the text has no control characters, which Postgres or a CSV reader may reject."""
    return not _CONTROL.search(text)


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _IGNORED.sub("", text)).casefold()
    folded = unicodedata.normalize("NFKC", folded.replace("i\u0307", "i").replace("\u0131", "i"))
    return _WHITE.sub(" ", folded).strip(" ")
