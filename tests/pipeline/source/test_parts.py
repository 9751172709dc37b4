"""Reading parts from S3, HTTP and files, and the errors for parts that can't be read."""

import base64
import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from pipeline import run
from pipeline.settings import Settings
from pipeline.source.copies import inspect, local_copy
from pipeline.source.parts import list_parts
from pipeline.source.s3 import SourceError
from tests.conftest import Bucket
from tests.pipeline.conftest import history


@pytest.fixture
def parquet(written: Callable[[pa.Table], Path]) -> Path:
    return written(history({}, {"country_code": "Latvia"}))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve the test's folder with a real HTTP server; yield its address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_s3_object_has_etag_size_and_sha256(bucket: Bucket, parquet: Path) -> None:
    """An object is identified by its ETag and size, and by the SHA-256 of the bytes that were read."""
    uri = bucket.put("a folder/history.parquet", parquet)
    (part,) = list_parts(uri)
    head = bucket.client.head_object(Bucket=bucket.name, Key="a folder/history.parquet")
    assert (part.uri, part.etag, part.size, part.sha256) == (uri, head["ETag"], parquet.stat().st_size, "")
    assert inspect(part).sha256 == sha256(parquet.read_bytes()).hexdigest()


def test_a_file_and_an_address_give_the_same_bytes(served: str, parquet: Path) -> None:
    """A file and the same file over HTTP have the same SHA-256 and the same bytes."""
    (local,), (remote,) = list_parts(str(parquet)), list_parts(f"{served}/{parquet.name}")
    assert inspect(local).sha256 == inspect(remote).sha256
    with local_copy(remote) as path:
        assert path.read_bytes() == parquet.read_bytes()


def test_a_copy_is_gone_afterwards(bucket: Bucket, parquet: Path) -> None:
    """A downloaded copy is deleted when it is no longer needed."""
    (part,) = list_parts(bucket.put("history.parquet", parquet))
    with local_copy(part) as path:
        assert path.exists()
    assert not path.exists()


def test_an_object_that_changed_is_not_read(bucket: Bucket, parquet: Path, written: Callable[..., Path]) -> None:
    """`local_copy` refuses an object that was replaced since the run was planned."""
    (part,) = list_parts(bucket.put("history.parquet", parquet))
    planned = inspect(part)
    bucket.put("history.parquet", written(history({}), "other.parquet"))
    with pytest.raises(SourceError, match="changed since the run was planned; run again"), local_copy(planned):
        pass


def test_a_file_that_changed_is_not_read(parquet: Path) -> None:
    """`local_copy` refuses a file that changed since the run was planned."""
    planned = inspect(list_parts(str(parquet))[0])
    with pytest.raises(SourceError, match="changed since"), local_copy(replace(planned, sha256="0" * 64)):
        pass


def test_a_public_bucket_is_read_unsigned(bucket: Bucket, parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With VOUCHER_S3_ANONYMOUS, a public bucket needs no credentials; without it, the error names the setting."""
    (part,) = list_parts(bucket.put("history.parquet", parquet))
    bucket.client.put_object_acl(Bucket=bucket.name, Key="history.parquet", ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert inspect(list_parts(part.uri, anonymous=True)[0], anonymous=True).sha256
    with pytest.raises(SourceError, match="VOUCHER_S3_ANONYMOUS=1"):
        list_parts(part.uri)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["total_orders"], "column total_orders is missing; it has timestamp, country_code, .*Write it with all six"),
        (["timestamp", "country_code"], "columns timestamp, country_code are missing; it has last_order_ts, "),
    ],
)
def test_missing_columns_are_named(written: Callable[..., Path], columns: list[str], message: str) -> None:
    """The error names a missing column, or all of several."""
    with pytest.raises(SourceError, match=message):
        inspect(list_parts(str(written(history({}).drop_columns(columns))))[0])


@pytest.mark.parametrize("name", ["\ufefftimestamp", " timestamp", "timestamp\u00a0", "time\nstamp", "tïmestamp"])
def test_column_names_that_look_alike_are_quoted(written: Callable[..., Path], name: str) -> None:
    """The error quotes column names, so that a byte order mark or a blank is visible."""
    table = history({})
    odd = table.rename_columns([name, *table.column_names[1:]])
    with pytest.raises(SourceError) as error:
        inspect(list_parts(str(written(odd)))[0])
    assert f"column timestamp is missing; it has {name!r}, country_code, " in str(error.value)


def test_a_column_that_only_a_folder_names_is_said_so(tmp_path: Path, written: Callable[..., Path]) -> None:
    """The error says if a missing column is only in the folder's name, as in a Hive partition."""
    (tmp_path / "country_code=Peru").mkdir()
    written(history({}).drop_columns(["country_code"]), "country_code=Peru/a.parquet")
    with pytest.raises(SourceError, match=r"\(only the folder's name has country_code, which is not read\)"):
        inspect(list_parts(f"{tmp_path}/")[0])


def test_an_encrypted_file_is_called_encrypted(tmp_path: Path) -> None:
    """The error for an encrypted file asks for one without encryption, because another upload would not help."""

    class Keys(encryption.KmsClient):
        def __init__(self, _: object) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, _: str) -> bytes:
            return base64.b64encode(key)

    factory = encryption.CryptoFactory(Keys)
    wanted = encryption.EncryptionConfiguration(footer_key="key", uniform_encryption=True)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), wanted)
    path, table = tmp_path / "history.parquet", history({})
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(SourceError, match=r"history\.parquet is encrypted; write it without encryption"):
        inspect(list_parts(str(path))[0])


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("/nowhere/history.parquet", "no such file"),
        ("ftp://host/history.parquet", "ftp:// is not known"),
        ("s3://bucket", "is not s3://bucket/key"),
        ("s3:///key", "is not s3://bucket/key"),
    ],
)
def test_an_address_that_names_nothing_is_refused(uri: str, message: str) -> None:
    """The error for an address that can't be used says what is wrong with it."""
    with pytest.raises(SourceError, match=message):
        list_parts(uri)


@pytest.mark.parametrize("pattern", ["none/", "none/*.parquet", "notes/"])
@pytest.mark.parametrize("where", ["S3", "folder"])
def test_an_address_that_fits_nothing_is_named(bucket: Bucket, tmp_path: Path, where: str, pattern: str) -> None:
    """The error names a prefix or folder without a Parquet file, or a pattern that matches none."""
    bucket.put("notes/notes.txt", b"")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    (tmp_path / "none").mkdir()
    uri = {"S3": f"s3://{bucket.name}", "folder": str(tmp_path)}[where] + f"/{pattern}"
    with pytest.raises(
        SourceError, match=re.escape(uri.rstrip("/")) + r".*: there is no Parquet file .*VOUCHER_SOURCE"
    ):
        list_parts(uri)


@pytest.mark.parametrize(
    ("uri", "rows", "refused"),
    [
        ("s3://history/", "s3://history/cleaned/", True),
        ("s3://history/days/", "s3://history/days/cleaned/", True),
        ("s3://history/days/", "s3://history/cleaned/", False),
        ("s3://history/days/", "s3://history/_cleaned/", False),
        ("s3://history/days/", "s3://other/days/", False),
        ("s3://history/**/*.parquet", "s3://history/cleaned/", True),
        ("s3://history/*.parquet", "s3://history/cleaned/", False),
        ("s3://history/days.parquet", "s3://history/cleaned/", False),
    ],
)
def test_cleaned_rows_may_not_lie_where_the_history_is_looked_for(
    settings: Callable[..., Settings], bucket: Bucket, uri: str, rows: str, refused: bool
) -> None:
    """VOUCHER_ROWS inside the source is refused before anything is read: the next run would read it as history."""
    with pytest.raises(SourceError) as error:
        run.plan(settings(uri.replace("history", bucket.name), rows=rows.replace("history", bucket.name)))
    assert str(error.value).startswith("VOUCHER_ROWS, ") == refused


@pytest.mark.long
def test_more_keys_than_one_answer_holds(bucket: Bucket) -> None:
    """All keys under a prefix are found, although S3 lists a thousand at a time."""
    client = bucket.client
    names = [f"history/part-{number:05}.parquet" for number in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=bucket.name, Key=name, Body=b""), names))
    assert [part.uri for part in list_parts(f"s3://{bucket.name}/history/")] == [
        f"s3://{bucket.name}/{name}" for name in names
    ]


def test_a_part_may_have_no_rows(
    settings: Callable[..., Settings], written: Callable[..., Path], tmp_path: Path, query: Callable[..., list[object]]
) -> None:
    """A part without rows, such as a quiet day, is accepted; a history without rows is refused."""
    written(history({}).slice(0, 0), "sunday.parquet")
    with pytest.raises(SourceError, match="has no rows; set VOUCHER_SOURCE to a history with rows"):
        run.plan(settings(f"{tmp_path}/"))
    written(history({}), "monday.parquet")
    run.run(settings(f"{tmp_path}/"), "test")
    assert query("SELECT rows_in, rows_kept FROM voucher.run") == [(1, 1)]
    assert query("SELECT rows, rows_kept FROM voucher.loaded_part JOIN voucher.part USING (part_id) ORDER BY uri") == [
        (1, 1),
        (0, 0),
    ]


def test_a_copy_of_a_part_is_warned_of(
    settings: Callable[..., Settings], written: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`plan` warns that the rows of two parts with the same bytes count twice, because this may be intended."""
    for name in ("monday", "tuesday", "wednesday"):
        written(history({"country_code": "Latvia" if name == "tuesday" else "Peru"}), f"{name}.parquet")
    run.plan(settings(f"{tmp_path}/"))
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    first, second = tmp_path / "monday.parquet", tmp_path / "wednesday.parquet"
    assert warned == f"plan: {first} and {second} have the same bytes; their rows count twice"
