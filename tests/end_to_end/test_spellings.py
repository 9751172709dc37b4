"""One country in every spelling, from the file to the answer, in databases of several encodings: no country is split,
and none bypasses a rule.
"""

import csv
import io
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app import create_app
from app.settings import Settings as AppSettings
from app.settings import database_url
from dev.services.postgres import OWNER, Postgres
from pipeline import run
from pipeline.publish.database import DatabaseError
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.settings import Settings
from shared.countries import country_name
from tests.conftest import API, PIPELINE, as_role, migrate
from tests.pipeline.conftest import history

# Each country has a different amount, so that a split or a bypass is visible. A rule drops Chile.
AMOUNTS = {"Peru": 1.0, "Côte d'Ivoire": 2.0, "Türkiye": 3.0, "Weißrußland": 4.0, "Ελλάς": 5.0, "日本 国": 6.0}
DROPPED = "Chile"
WHITE = ["\t", " ", "\u00a0", "\u2007", "\u202f", "\u0085", "\x1c", "\u2028", "\u3000", " \u2003"]
UNSEEN = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u202a", "\ufe0f"]
CASES = [str, str.upper, str.lower, str.swapcase, str.casefold, lambda text: text.replace("i", "İ").upper()]
WIDE = str.maketrans({char: chr(ord(char) + 0xFEE0) for char in map(chr, range(ord("!"), ord("~") + 1)) if char != "'"})
ENCODINGS = {"UTF8": "utf-8", "LATIN1": "latin-1", "SQL_ASCII": "utf-8"}  # and the matching Python codecs
LETTERS = {"LATIN1": ("Peru", "Côte d'Ivoire", "Weißrußland")}  # countries with letters that the encoding has


@st.composite
def spellings(draw: st.DrawFn, country: str) -> str:
    """Draw a spelling of the country that a person or a program may write."""
    text = draw(st.sampled_from(CASES))(country)
    if draw(st.booleans()):
        text = text.translate(WIDE)
    text = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text)
    text = draw(st.sampled_from(WHITE)).join(text.split(" "))
    place = draw(st.integers(0, len(text)))
    text = text[:place] + draw(st.sampled_from(["", *UNSEEN])) + text[place:]
    edges = st.text(st.sampled_from("".join(WHITE + UNSEEN)), max_size=2)
    return draw(edges) + text + draw(edges)


@dataclass(frozen=True)
class Stand:
    """A migrated database with this encoding, and a folder for files."""

    encoding: str
    database: str
    folder: Path

    def holds(self, text: str) -> bool:
        try:
            text.encode(ENCODINGS[self.encoding])
        except UnicodeEncodeError:
            return False
        return True

    def run(self, countries: list[tuple[str, float]]) -> str:
        """Run the pipeline on one row for each country and amount. Return the id of the run."""
        path = self.folder / f"{secrets.token_hex(4)}.parquet"
        pq.write_table(history(*({"country_code": text, "voucher_amount": each} for text, each in countries)), path)
        return run.run(Settings(str(path), as_role(self.database, PIPELINE)), "test", force="other countries")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        connected = closing(psycopg2.connect(self.database, client_encoding="UTF8"))
        with connected as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()


@pytest.fixture(scope="module", params=ENCODINGS)
def stand(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    name = f"spellings_{request.param.lower()}"
    postgres.execute(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C' "
        f"ENCODING '{request.param}'",
        name,
        OWNER,
    )
    migrate(postgres.url(name))
    yield Stand(request.param, postgres.url(name), tmp_path_factory.mktemp(name))
    postgres.execute("DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use a rule that names countries, and set another client encoding in the environment."""
    rule = Rule("no_chile", f"country_code IN ('{DROPPED}', 'Atlantis')", "It is closed.", (0, 1))
    RuleBook((rule,)).save(tmp_path / "rules.toml")
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")


def many(country: str) -> st.SearchStrategy[list[str]]:
    return st.lists(spellings(country), min_size=20, max_size=20)


@settings(max_examples=2, deadline=None, suppress_health_check=[*HealthCheck], phases=[Phase.reuse, Phase.generate])
@given(data=st.data())
def test_a_country_is_one_in_every_spelling(stand: Stand, data: st.DataObject) -> None:
    """File, rule, tables, request, page and CSV treat all spellings of a country as the same country."""
    held = LETTERS.get(stand.encoding, tuple(AMOUNTS))
    written = {country: data.draw(many(country)) for country in (*held, DROPPED)}
    rows = [(text, AMOUNTS.get(country, 9.0)) for country, texts in written.items() for text in texts]
    lost = [text for text, _ in rows if not stand.holds(country_name(text))]
    run_id = stand.run([row for row in rows if row[0] not in lost])
    for text in lost[:2]:
        with pytest.raises(DatabaseError, match=r"the database can't store the country '.*LATIN1"):
            stand.run([(text, 1.0)])
    kept = {country: [text for text in written[country] if text not in lost] for country in held}

    published = stand.query(f"SELECT DISTINCT country_code FROM voucher.segment WHERE run_id = '{run_id}'")
    assert len(published) == len(held), published
    assert stand.query(f"SELECT sum(dropped) FROM voucher.rule_outcome WHERE run_id = '{run_id}'") == [
        (len(rows) - len(lost) - sum(map(len, kept.values())),)
    ]
    app = create_app(AppSettings(database_url=database_url(as_role(stand.database, API))))
    try:
        client = app.test_client()
        for country, texts in written.items():
            for text in texts:
                body = {"country_code": text, "segment_name": "frequent_segment", "total_orders": 12}
                answer = client.post("/voucher", json=body)
                expected = (200, AMOUNTS[country]) if country in held else (404, None)
                assert (answer.status_code, answer.json.get("voucher_amount")) == expected, ascii(text)
            for path in ("/segments", "/segments.csv", "/assignments.csv", "/"):
                assert client.get(path, query_string={"country": texts[0]}).status_code == expected[0], path
        for country in held:
            text = data.draw(spellings(country))
            answer = client.get("/assignments.csv", query_string={"country": text})
            assert answer.content_length == len(answer.data)
            lines = list(csv.reader(io.StringIO(answer.text, newline="")))[1:]
            assert [float(line[-1]) for line in lines] == [AMOUNTS[country]] * len(kept[country]), ascii(text)
    finally:
        app.extensions["published"].stop()
