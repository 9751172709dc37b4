"""What makes two texts the same country, and which texts are blank.

`pipeline` reads files with it, compares countries in rules and groups spellings; `app` reads requests with it. Names
match as identifiers do in Unicode (NFKC_Casefold, UAX #31): the form of an accent, case, full-width letters, white
space at the ends, the number and kind of blanks inside and characters that no one sees make no difference. The two
Turkish letters i count as i. Apostrophes and hyphens of different shapes stay different: a person decides about them.
"""

import re
import unicodedata

# Classes of characters for a regular expression of Python or RE2.
# White space: what str.strip() removes, and the blank of Braille.
WHITE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000"
# What is never seen. Unicode calls these and JOINERS "default ignorable".
INVISIBLE = (
    "\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
# What shapes the letters around it in Persian, Sinhala and other scripts (U+0590 and later), and in no European one.
JOINERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
BLANK = WHITE + INVISIBLE + JOINERS

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_IGNORED = re.compile(f"[{INVISIBLE}{JOINERS}]")
_JOINERS_WITHOUT_USE = re.compile(f"(?<![^\\0-\u058f{WHITE}])[{JOINERS}]+")
_WHITE = re.compile(f"[{WHITE}]+")
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")  # those that are not white space


def country_name(text: str) -> str:
    """Return the name as it is stored and shown, in NFC; "" if the text is blank.

    White space at the ends and invisible characters are removed; each run of white space inside is one blank. Letters
    and their case stay.
    """
    if text.isascii():
        return " ".join(text.split())
    visible = _JOINERS_WITHOUT_USE.sub("", unicodedata.normalize("NFC", _INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFC", _WHITE.sub(" ", visible).strip(" "))


def country_key(text: str) -> str:
    """Return what is equal for all spellings of one country; "" if the text is blank."""
    if text.isascii():
        return " ".join(text.lower().split())
    while (folded := _folded(text)) != text:
        text = folded
    return text


def is_blank(text: str) -> bool:
    """Whether the text names nothing."""
    return not (text.strip() if text.isascii() else country_key(text))


def is_readable(text: str) -> bool:
    """Whether the text can be a name: without control characters, which Postgres or a CSV reader may not take."""
    return not _CONTROL.search(text)


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _IGNORED.sub("", text)).casefold()
    folded = unicodedata.normalize("NFKC", folded.replace("i\u0307", "i").replace("\u0131", "i"))
    return _WHITE.sub(" ", folded).strip(" ")
