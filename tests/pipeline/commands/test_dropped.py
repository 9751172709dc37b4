"""`python -m pipeline dropped`: the rows behind a rule, read again from the parts of a run."""

import csv
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from pipeline import run
from pipeline.rules.rulebook import Rule, RuleBook
from pipeline.settings import Settings
from tests.conftest import Bucket
from tests.pipeline.conftest import history

Command = Callable[..., CompletedProcess[str]]
Query = Callable[..., list[tuple[Any, ...]]]

RULES = RuleBook(
    (
        Rule("few_orders", "total_orders < 5", "A test.", (0, 1)),
        Rule("cheap", "voucher_amount < 100", "A test.", (0, 1)),
    ),
    (0.0, 1.0),
)
FIRST = history(
    {"total_orders": "3", "voucher_amount": 7.0},
    {"total_orders": "4", "country_code": " PERU"},
    {"voucher_amount": 8.0},
    {"total_orders": "1", "country_code": "Latvia"},
    {"total_orders": "many"},
    {},
)
SECOND = history(
    {"total_orders": "2", "country_code": None},
    {"total_orders": None, "country_code": "peru"},
    {"total_orders": " 2.0", "country_code": "peru"},
    {"voucher_amount": 9.0, "country_code": "Latvia"},
)
COUNTED = """SELECT country_code, rule, matched, dropped FROM voucher.rule_outcome JOIN voucher.current_run
    USING (run_id)"""


@pytest.fixture
def run_id(
    bucket: Bucket,
    written: Callable[..., Path],
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> str:
    """Publish a run of two parts in S3, by rules of its own; return its id."""
    for name, table in (("a", FIRST), ("b", SECOND)):
        bucket.put(f"h/{name}.parquet", written(table))
    RULES.save(tmp_path / "rules.toml")
    monkeypatch.setattr(run, "RULES_FILE", tmp_path / "rules.toml")
    return run.run(settings(f"s3://{bucket.name}/h/"), "test")


@pytest.fixture
def listed(command: Command, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Return a function that lists the rows behind a rule, by way of a CSV file."""

    def call(*words: str) -> list[dict[str, str]]:
        file = tmp_path / "rows.csv"
        result = command("dropped", *words, "--csv", str(file))
        assert result.returncode == 0, result.stderr
        with file.open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))

    return call


@pytest.mark.usefixtures("run_id")
def test_as_many_rows_as_were_counted(listed: Callable[..., list[dict[str, str]]], query: Query) -> None:
    """For each rule and country of a run, as many rows are listed as were counted, dropped or matched."""
    counted = query(COUNTED)
    assert {country for country, *_ in counted} == {"", "Latvia", "Peru"}
    for country, rule, matched, dropped in (line for line in counted if line[2]):
        assert len(listed(rule, "--country", country)) == dropped, (country, rule)
        assert len(listed(rule, "--country", country, "--matched")) == matched, (country, rule)
    assert len(listed("few_orders")) == sum(dropped for _, rule, _, dropped in counted if rule == "few_orders") > 0


@pytest.mark.usefixtures("run_id")
def test_rows_are_listed_as_they_stand(listed: Callable[..., list[dict[str, str]]], bucket: Bucket) -> None:
    """A row has its texts as they are in the file, in the file's order, and the address of its part."""
    found = listed("few_orders", "--country", "peru")
    assert [(row["total_orders"], row["country_code"], row["part"].rpartition("/")[2]) for row in found] == [
        ("3", "Peru", "a.parquet"),
        ("4", " PERU", "a.parquet"),
        (" 2.0", "peru", "b.parquet"),
    ]
    assert found[0]["part"] == f"s3://{bucket.name}/h/a.parquet"
    assert found[0]["cluster"] == ""


def test_the_table_and_what_is_said(run_id: str, command: Command) -> None:
    """The table has the first rows, shows missing values and invisible characters, and ends with the counts."""
    lines = command("dropped", "few_orders", "--country", "PERU").stdout.splitlines()
    assert lines[0].split() == [
        *("timestamp", "country_code", "first_order_ts", "last_order_ts", "total_orders", "voucher_amount", "part")
    ]
    assert "' PERU'" in lines[3]
    assert "' 2.0'" in lines[4]
    last = "3 of the 3 rows of the country 'PERU' that run {} counted as dropped by few_orders"
    assert lines[-1] == f"all {last.format(run_id)}"
    some = command("dropped", "few_orders", "--limit", "2").stdout.splitlines()
    assert len(some) == 5
    assert some[-1].startswith(f"the first 2 of the 4 rows that run {run_id} counted as dropped by few_orders; ")
    assert "NULL" in command("dropped", "missing_country_code").stdout
    assert command("dropped", "unreadable_cluster").stdout.startswith("all 0 of the 0 rows that run ")


def test_a_changed_and_a_missing_part_are_named(
    run_id: str, command: Command, bucket: Bucket, written: Callable[..., Path]
) -> None:
    """What can still be read is listed; the parts that changed or are gone are named, and the exit code is 1."""
    bucket.put("h/a.parquet", written(SECOND, "other.parquet"))
    result = command("dropped", "few_orders", "--country", "Peru")
    assert result.returncode == 1
    assert "' 2.0'" in result.stdout
    assert f"error: only 1 of the 3 rows of the country 'Peru' that run {run_id} counted as" in result.stderr
    assert "; 1 part can't be read again:" in result.stderr
    assert f"s3://{bucket.name}/h/a.parquet" in result.stderr
    assert "b.parquet" not in result.stderr
    bucket.client.delete_object(Bucket=bucket.name, Key="h/b.parquet")
    result = command("dropped", "few_orders")
    assert (result.returncode, result.stdout) == (1, "")
    assert "error: only 0 of the 4 rows" in result.stderr
    assert "; 2 parts can't be read again:" in result.stderr
    assert "b.parquet" in result.stderr


def test_what_is_unknown_names_the_nearest(run_id: str, command: Command, tmp_path: Path) -> None:
    """A misspelt rule, country or run, a limit of 0 and a file that can't be written are errors with a way out."""
    for words, said in (
        (["few_order"], "there is no rule 'few_order'; did you mean few_orders?"),
        (["cheap", "--country", "Latvja"], f"run {run_id} has no country 'Latvja'; did you mean Latvia?"),
        (["cheap", "--run", "123456"], "there is no run '123456'"),
        (["cheap", "--csv", str(tmp_path / "none" / "x.csv")], "x.csv can't be written: No such file or directory"),
    ):
        result = command("dropped", *words)
        assert result.returncode == 1
        assert said in result.stderr
    assert "is '0', but must be a whole number of at least 1" in command("dropped", "cheap", "--limit", "0").stderr


def test_before_anything_is_published(command: Command) -> None:
    """Without a published run, the command names the option that selects one."""
    assert "nothing is published; name a run with --run" in command("dropped", "cheap").stderr


def test_an_earlier_run_has_its_own_rules(
    run_id: str,
    bucket: Bucket,
    settings: Callable[..., Settings],
    command: Command,
    query: Query,
    tmp_path: Path,
) -> None:
    """--run lists by the rules that the run recorded, and says if another version of the software made it."""
    RuleBook(
        tuple(Rule(f"other_{number}", f"total_orders < {number}", "A test.", (0, 1)) for number in (1, 2)), (0, 1)
    ).save(tmp_path / "rules.toml")
    run.run(settings(f"s3://{bucket.name}/h/"), "test")
    assert "there is no rule 'cheap'" in command("dropped", "cheap").stderr
    assert "all 2 of the 2 rows" in (said := command("dropped", "cheap", "--run", run_id[:7])).stdout, said.stderr
    assert "another version" not in said.stdout
    query("UPDATE voucher.run SET rules_hash = 'other' WHERE run_id = %s RETURNING 1", run_id)
    assert "was made by another version of the software" in command("dropped", "cheap", "--run", run_id).stdout
    query(
        "UPDATE voucher.rule_outcome SET dropped = dropped + 1 WHERE (run_id, rule) = (%s, 'cheap') RETURNING 1", run_id
    )
    assert "2 of the 5 rows" in (said := command("dropped", "cheap", "--run", run_id)).stdout
    assert "reads the parts differently" in said.stdout
