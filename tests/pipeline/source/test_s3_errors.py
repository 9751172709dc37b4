"""Errors of S3: the code, the remedy, and whether the error is retryable."""

import http.server
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from dev.ports import free_port
from pipeline.load import row_files
from pipeline.source import s3
from pipeline.source.copies import inspect, local_copy
from pipeline.source.parts import Part, list_parts
from pipeline.source.s3 import SourceError, SourceUnavailable
from pipeline.source.s3_answers import ANSWERS
from tests.conftest import Bucket
from tests.pipeline.conftest import history

SECRET = "hunter2Secret"


@pytest.fixture
def answering(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Yield a function that points boto3 at a server of the test's own, with this answer, instead of the stand-in."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def do_HEAD(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[0].serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{servers[0].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refuse(request: http.server.BaseHTTPRequestHandler, status: int, code: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SECRET}</Message></Error>".encode()
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def send(request: http.server.BaseHTTPRequestHandler, content: bytes, cut: str = "", **headers: str) -> None:
    request.send_response(200)
    for name, value in ({"Content-Length": str(len(content)), "ETag": '"e"'} | headers).items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command == "HEAD":
        return
    request.wfile.write(content[: len(content) // 2] if cut else content)
    request.wfile.flush()
    if cut == "reset":
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.close_connection = True


@pytest.mark.parametrize("known", ANSWERS, ids=lambda known: known.code)
def test_each_code_says_what_it_means_and_what_helps(known: Any) -> None:
    """The code decides, not the HTTP status; the message gives the code's meaning and the code itself."""
    response = {"Error": {"Code": known.code, "Message": SECRET}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with pytest.raises(SourceError) as error, s3.errors("s3://bucket/key", "VOUCHER_ROWS"):
        raise botocore.exceptions.ClientError(response, "GetObject")
    message = str(error.value)
    assert message.startswith(f"s3://bucket/key: {known.meaning}; ")
    assert message.endswith(f" (S3 answered {known.code})")
    assert "{" not in message
    assert SECRET not in message
    assert error.value.retryable == known.retryable
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("Strange", 400, False),
        ("Strange", 418, False),
        ("Strange", 500, True),
        ("Strange", 507, True),
        ("429", 429, True),
        ("503", 503, True),
        ("404", 404, False),
        ("403", 403, False),
        ("<b>odd</b>", 599, True),
        ("", 0, False),
    ],
)
def test_an_unknown_code_is_judged_by_its_status(code: str, status: int, retryable: bool) -> None:
    """An unknown code is retryable if the status is a server error or 429, and final otherwise."""
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(SourceError, match=r"\(S3 answered \w+\)$") as error, s3.errors("s3://bucket/key"):
        raise botocore.exceptions.ClientError(response, "HeadObject")
    assert error.value.retryable == retryable


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", "access denied; check the AWS credentials"),
        (
            403,
            "InvalidAccessKeyId",
            r"access denied; check the AWS credentials: the access key is not known\. Set AWS_ACCESS_KEY_ID",
        ),
        (403, "SignatureDoesNotMatch", "the secret key does not belong to the access key"),
        (
            403,
            "RequestTimeTooSkewed",
            "this machine's clock differs from the clock of S3; correct this machine's clock",
        ),
        (403, "InvalidObjectState", "is archived in Glacier or Deep Archive; restore it"),
        (403, "AllAccessDisabled", "disabled all access"),
        (400, "ExpiredToken", "the temporary credentials expired; get new ones"),
        (400, "InvalidToken", "the session token is not valid"),
        (400, "KMS.DisabledException", "the object's KMS key is disabled"),
        (404, "NoSuchBucket", "no such bucket; check its name in VOUCHER_SOURCE"),
        (404, "NoSuchKey", "no such object; set VOUCHER_SOURCE to one that exists"),
    ],
)
def test_a_refused_request_says_the_code(answering: Callable[..., None], status: int, code: str, message: str) -> None:
    """The error has S3's code, even if S3 refuses HEAD, whose response has none: the request is repeated as GET."""
    answering(lambda request: refuse(request, status, code))
    for address in ("s3://bucket/key.parquet", "s3://bucket/folder/", "s3://bucket/f*.parquet"):
        with pytest.raises(SourceError, match=message) as error:
            list_parts(address)
        assert f"(S3 answered {code})" in str(error.value)
        assert error.value.retryable == (code == "ExpiredToken")


def test_a_server_that_knows_no_head_is_read(answering: Callable[..., None]) -> None:
    """If a server doesn't support HEAD, the size comes from a GET request for one byte."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD":
            refuse(request, 405, "")
        else:
            request.send_response(206)
            for name, value in {"Content-Length": "1", "Content-Range": "bytes 0-0/1234", "ETag": '"e"'}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(b"P")

    answering(answer)
    assert list_parts("s3://bucket/key.parquet") == [Part("s3://bucket/key.parquet", '"e"', 1234)]


@pytest.mark.parametrize("cut", ["end", "reset"])
def test_a_body_that_is_cut_off_is_fetched_again(
    answering: Callable[..., None], written: Callable[..., Path], cut: str
) -> None:
    """An incomplete body, which boto3 doesn't retry, is fetched again twice; then the error is retryable."""
    content, left = written(history({})).read_bytes(), itertools.count(-2)
    answering(lambda request: send(request, content, "" if request.command == "HEAD" or next(left) == 0 else cut))
    (part,) = list_parts("s3://bucket/trunc.parquet")
    assert inspect(part).rows == 1
    with pytest.raises(SourceUnavailable, match=r"s3://bucket/trunc\.parquet: the data from S3 is incomplete") as error:
        inspect(part)
    assert error.value.retryable
    assert next(left) == 4


def test_bytes_that_arrive_damaged_may_arrive_whole(answering: Callable[..., None]) -> None:
    """Bytes that don't match the checksum from S3 are a retryable error."""
    answering(lambda request: send(request, b"bytes", x_amz_checksum_crc32="AAAAAA=="))
    with pytest.raises(SourceUnavailable, match=r"incomplete or damaged \(FlexibleChecksumError\); run again"):
        inspect(Part("s3://bucket/key.parquet", '"e"', 5))


def test_what_is_not_s3_is_named(answering: Callable[..., None]) -> None:
    """The error for a portal's page instead of XML says that the server may not be S3, and doesn't show the page."""
    answering(lambda request: send(request, b"<html><p>Log in, hunter2Secret</html>", ETag=""))
    with pytest.raises(SourceError, match="what answers there may not be S3") as error:
        list_parts("s3://bucket/folder/")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"AWS_ENDPOINT_URL_S3": f"http://user:{SECRET}@127.0.0.1:{{port}}"},
            "S3 does not answer at http://127.0.0.1:",
        ),
        ({"AWS_ENDPOINT_URL_S3": f"http://user:a/{SECRET}@127.0.0.1:{{port}}"}, "check .*AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL_S3": f"127.0.0.1:{{port}}/{SECRET}"}, "AWS_ENDPOINT_URL_S3 can't be used"),
        ({"AWS_ENDPOINT_URL_S3": f"http://{SECRET}:${{PORT}}"}, "check VOUCHER_SOURCE and AWS_ENDPOINT_URL_S3"),
        ({"HTTP_PROXY": f"http://user:{SECRET}@127.0.0.1:{{port}}", "NO_PROXY": "", "no_proxy": ""}, "does not answer"),
        ({"AWS_SESSION_TOKEN": f"{SECRET}\nx"}, "the AWS credentials contain a line break"),
        ({"AWS_PROFILE": SECRET}, r"the AWS settings \(ProfileNotFound\) can't be used; check .*AWS_PROFILE"),
        ({"AWS_DEFAULT_REGION": f"{SECRET} x"}, r"the AWS settings \(InvalidRegionError\) can't be used"),
    ],
)
def test_no_secret_of_the_environment_is_in_an_error(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    """Errors show no secret, although boto3's messages contain headers and the addresses of server and proxy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("{port}", str(free_port())))
    monkeypatch.setattr("pipeline.source.s3.TIMEOUT", (1, 5))
    for address in (f"s3://{bucket.name}/key", f"s3://{bucket.name}/folder/"):
        with pytest.raises(SourceError, match=message) as error:
            list_parts(address)
        assert SECRET not in str(error.value)
        assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            f"s3://AKIA:{SECRET}@bucket/key",
            "can't contain credentials; .* set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (f"s3://AKIA:a/{SECRET}@bucket/key", "can't contain credentials"),
        (f"S3A://AKIA:{SECRET}@bucket/folder/", "can't contain credentials"),
        ("s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/name/key", "use the alias of the access point"),
        ("s3://buck et/key", "a bucket's name has only letters"),
        ("s3://b%75cket/key", "a bucket's name has only letters"),
        ("s3://bücket/key", "a bucket's name has only letters"),
        ("s3:/bucket/key", r"is not s3://bucket/key"),
        (rf"s3://u:{SECRET}@bucket", r"s3://\.\.\.@bucket is not s3://bucket/key"),
        ("s3://bucket", r"is not s3://bucket/key"),
    ],
)
def test_an_address_that_is_none_of_s3_is_refused(address: str, message: str) -> None:
    """The error for an invalid S3 address has a remedy and no credentials, for the source and for cleaned rows."""
    for call in (lambda: list_parts(address), lambda: row_files.runs(address)):
        with pytest.raises(SourceError, match=message) as error:
            call()
        assert SECRET not in str(error.value)
        assert "AKIA" not in str(error.value)


@pytest.mark.parametrize("scheme", ["S3", "s3a", "s3n", "S3A"])
def test_the_other_names_of_s3_are_read(bucket: Bucket, scheme: str) -> None:
    """The schemes that Hadoop and Spark use are accepted; the address is recorded with s3://."""
    uri = bucket.put("folder/a.parquet", b"rows")
    for path in ("folder/a.parquet", "folder/", "folder/*.parquet"):
        assert [part.uri for part in list_parts(f"{scheme}://{bucket.name}/{path}")] == [uri]


def test_a_key_that_looks_like_a_pattern_is_taken_as_it_is(bucket: Bucket) -> None:
    """A key that looks like a pattern is read literally if it exists, and as a pattern otherwise, as for files."""
    literal = bucket.put("br[1].parquet", b"rows")
    other = bucket.put("br1.parquet", b"rows")
    assert [part.uri for part in list_parts(literal)] == [literal]
    bucket.client.delete_object(Bucket=bucket.name, Key="br[1].parquet")
    assert [part.uri for part in list_parts(literal)] == [other]


def test_archived_objects_are_named_before_anything_is_read(bucket: Bucket) -> None:
    """An archived object is refused because of its storage class in the listing; a restored object is accepted."""
    for name, kind in {"a": "STANDARD", "b": "GLACIER", "c": "DEEP_ARCHIVE", "d": "GLACIER_IR"}.items():
        bucket.client.put_object(Bucket=bucket.name, Key=f"x/{name}.parquet", Body=b"rows", StorageClass=kind)
    archived = f"s3://{bucket.name}/x/b.parquet: the object is archived in Glacier or Deep Archive; restore it"
    for address in ("x/", "x/*.parquet", "x/b.parquet"):
        with pytest.raises(SourceError) as error:
            list_parts(f"s3://{bucket.name}/{address}")
        assert str(error.value).startswith(archived)
        assert str(error.value).endswith("2 of 4 parts are in such a class") == (address != "x/b.parquet")
    assert len(list_parts(f"s3://{bucket.name}/x/[ad].parquet")) == 2
    bucket.client.restore_object(Bucket=bucket.name, Key="x/b.parquet", RestoreRequest={"Days": 1})
    assert len(list_parts(f"s3://{bucket.name}/x/[abd].parquet")) == 3


def test_a_part_that_was_archived_since_says_so(bucket: Bucket) -> None:
    """An object that was archived after the listing is refused when it is fetched."""
    uri = bucket.put("a.parquet", b"rows")
    (part,) = list_parts(uri)
    bucket.client.put_object(Bucket=bucket.name, Key="a.parquet", Body=b"rows", StorageClass="GLACIER")
    with pytest.raises(SourceError, match=r"restore it .*\(S3 answered InvalidObjectState\)"), local_copy(part):
        pass


def test_cleaned_rows_that_may_not_be_written_name_the_setting(bucket: Bucket, written: Callable[..., Path]) -> None:
    """The error for cleaned rows that can't be written has S3's code and names VOUCHER_ROWS."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket.name}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=policy)
    with pytest.raises(SourceError, match=r"access denied; check the AWS credentials .*\(S3 answered \w+\)"):
        row_files.write(f"s3://{bucket.name}/cleaned/", "0123456789abcdef", 1, history({}).to_reader())
    with pytest.raises(SourceError, match=r"no such bucket; check its name in VOUCHER_ROWS"):
        row_files.write("s3://none-such/cleaned/", "0123456789abcdef", 1, history({}).to_reader())


def test_credentials_that_may_list_only_the_prefix_are_enough(answering: Callable[..., None]) -> None:
    """Permission for the prefix is enough: folders above are checked for a table only where listing is allowed."""
    listing = (
        b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>x/day/a.parquet</Key>"
        b'<ETag>"e"</ETag><Size>9</Size></Contents></ListBucketResult>'
    )

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        allowed = "prefix=x%2Fday%2F&" in f"{request.path}&"
        send(request, listing) if allowed else refuse(request, 403, "AccessDenied")

    answering(answer)
    assert [part.uri for part in list_parts("s3://bucket/x/day/")] == ["s3://bucket/x/day/a.parquet"]
