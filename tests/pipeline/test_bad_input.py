"""Bad input: each fault gives one line with the cause and the remedy, and the published answers stay as they were."""

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pyarrow as pa
import pytest

from dev.ports import free_port
from dev.processes import until
from dev.services.postgres import Postgres
from dev.services.s3 import S3
from pipeline import run
from pipeline.settings import Settings
from tests.conftest import ROOT, Bucket
from tests.pipeline.conftest import history

Command = Callable[..., CompletedProcess[str]]
GOOD = history(*[{}] * 20)


@pytest.fixture
def published(
    written: Callable[..., Path], settings: Callable[..., Settings], query: Callable[..., Any]
) -> Iterator[None]:
    """Publish a run, and assert after the test that it is unchanged."""
    run.run(settings(written(history({}, {"total_orders": "3"}), "published.parquet")), "test")
    state = "SELECT run_id, published_at, checked_at FROM voucher.current_run"
    answers = "SELECT * FROM voucher.segment JOIN voucher.current_run USING (run_id) ORDER BY country_code, segment_name, segment"
    before = query(state), query(answers)
    yield
    assert (query(state), query(answers)) == before


def refused(result: CompletedProcess[str], message: str, code: int = 1) -> None:
    assert result.returncode == code, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert re.search(message, lines[0]), lines[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"timestamp,country_code\n", r"bad.parquet is not a Parquet file \(.* upload it again"),
        (b"", r"bad.parquet is not a Parquet file \(0 bytes"),
        ("cut short", r"bad.parquet is an incomplete Parquet file \(.* upload it again"),
        (
            GOOD.drop_columns(["total_orders"]),
            r"bad.parquet: column total_orders is missing; it has timestamp, country_code.* Write it with all six",
        ),
        (GOOD.slice(0, 0), r"bad.parquet has no rows; set VOUCHER_SOURCE to"),
        (
            history(*[{}] * 20, {"total_orders": "many"}),
            r"unreadable_total_orders matched 1 of 21 rows \(4.7619 %\).*e\.g\. {.*'total_orders': many, .* Correct the data",
        ),
        (
            history(*[{}] * 20, {"voucher_amount": -5.0}),
            r"unreadable_voucher_amount matched 1 of 21 rows \(4.7619 %\).*e\.g\. {.*'voucher_amount': -5.0}.* Correct the data",
        ),
        (
            history(*[{}] * 20, *[{"total_orders": None}] * 20),
            r"missing_total_orders matched 20 of 40 rows \(50.* 0 to 15 %",
        ),
    ],
)
@pytest.mark.usefixtures("published")
def test_bad_objects(
    bucket: Bucket, written: Callable[..., Path], command: Command, content: Any, message: str
) -> None:
    """`run` refuses an object that is not a complete Parquet history, and one whose shares are outside their bands."""
    if isinstance(content, pa.Table):
        uri = bucket.put("bad.parquet", written(content))
    else:
        whole = written(GOOD).read_bytes()
        uri = bucket.put("bad.parquet", whole[: len(whole) // 2] if content == "cut short" else content)
    refused(command("run", "--source", uri), message, code=3 if " matched " in message else 1)  # 3: by an audit


@pytest.mark.usefixtures("published")
def test_damaged_pages(written: Callable[..., Path], command: Command) -> None:
    """`run` refuses a file with an intact footer and damaged pages when it reads the pages."""
    path = written(history(*({"total_orders": str(orders)} for orders in range(5000))))
    content = bytearray(path.read_bytes())
    content[100:20_000] = bytes(len(content[100:20_000]))
    path.write_bytes(content)
    refused(command("run", "--source", str(path)), r"history.parquet can't be read: .*; replace the file")


@pytest.mark.usefixtures("published")
def test_no_such_object(bucket: Bucket, command: Command) -> None:
    """The error names the key that doesn't exist."""
    refused(command("run", "--source", f"s3://{bucket.name}/none"), r"s3://.*/none: no such object; set VOUCHER_SOURCE")


@pytest.mark.usefixtures("published")
def test_access_denied(tmp_path: Path, written: Callable[..., Path], command: Command) -> None:
    """The error names the credentials if S3 denies access with them."""
    (tmp_path / "closed").mkdir()
    server = S3(tmp_path / "closed", free_port())
    try:
        server.start({"INITIAL_NO_AUTH_ACTION_COUNT": "2", "PATH": "/usr/bin:/bin"})
        server.create("closed")
        uri = server.put("closed", "history.parquet", written(GOOD))
        refused(
            command("run", "--source", uri, **server.environment),
            r"s3://closed/.*: access denied; check the AWS credentials",
        )
    finally:
        server.stop()


@pytest.mark.usefixtures("published")
def test_s3_down(bucket: Bucket, written: Callable[..., Path], command: Command) -> None:
    """The error for an S3 that doesn't answer names the variable that holds its address."""
    uri = bucket.put("history.parquet", written(GOOD))
    result = command("run", "--source", uri, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{free_port()}")
    refused(result, r"S3 does not answer .*; check AWS_ENDPOINT_URL_S3 and the network")


@pytest.mark.usefixtures("published")
def test_postgres_down(written: Callable[..., Path], command: Command) -> None:
    """The error for a Postgres that doesn't answer names the variable that holds its address, and shows no password."""
    url = f"postgresql://voucher:secret-word@127.0.0.1:{free_port()}/voucher"
    result = command("run", "--source", str(written(GOOD)), PIPELINE_DATABASE_URL=url)
    refused(result, r"Postgres does not answer \(.*\); check PIPELINE_DATABASE_URL and that it runs")
    assert "secret-word" not in result.stderr + result.stdout
    result = command("migrate", DATABASE_URL=url)
    refused(result, r"Postgres does not answer \(.*\); check DATABASE_URL and that it runs")


@pytest.mark.usefixtures("published")
def test_tables_missing(pipeline_database: str, written: Callable[..., Path], command: Command) -> None:
    """The error for a database without the tables names the command that creates them."""
    url = pipeline_database.rsplit("/", 1)[0] + "/postgres"
    refused(
        command("run", "--source", str(written(GOOD)), PIPELINE_DATABASE_URL=url),
        r"lacks the tables .*`python -m pipeline migrate`",
    )


@pytest.mark.usefixtures("published")
def test_broken_rules(tmp_path: Path, written: Callable[..., Path], process: Command) -> None:
    """The error for an invalid rule file names the rule and the fault."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "shared", tmp_path / "shared")
    rules = tmp_path / "pipeline" / "rules.toml"
    rules.write_text(rules.read_text().replace("total_orders IS NULL", "total_order IS NULL"))
    result = process("run", "--source", str(written(GOOD)), PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    refused(
        result, r"rules.toml: rule missing_total_orders: 'total_order' .* did you mean total_orders\?; `make rules`"
    )


@pytest.mark.usefixtures("published")
def test_postgres_goes_away_while_rows_are_copied(
    postgres: Postgres, pipeline_database: str, written: Callable[..., Path], process: Command
) -> None:
    """The single line on stderr gives the server's reason, and the libraries in use print nothing."""
    path = written(pa.concat_tables([history(*({"total_orders": str(n % 40)} for n in range(20_000)))] * 50))
    name = urlsplit(pipeline_database).path.removeprefix("/")
    copying = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%%' AND datname = %s"
    with (
        closing(psycopg2.connect(postgres.admin_url())) as connection,
        connection.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.autocommit = True

        def ended() -> bool:
            cursor.execute(copying, (name,))
            return cursor.rowcount > 0

        running = pool.submit(process, "run", "--source", str(path))
        assert until(ended, 60, every=0.005)
        refused(
            running.result(120), r"Postgres does not answer \(terminating connection due to administrator command\)"
        )
