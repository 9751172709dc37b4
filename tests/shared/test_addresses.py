"""Redaction of addresses before they are displayed."""

import pytest

from shared.addresses import HIDDEN, redact


@pytest.mark.parametrize(
    "address",
    [
        *("https://u:hunter2@host:8443/hunter2/x.parquet?signature=hunter2", "https://host/", "https://host"),
        *("s3://bucket/year=2020/*.parquet", "s3://key:hunter2@bucket/x", "postgresql://u:hunter2@host/db"),
        *("/data/h.parquet", "/data/year=2020/", "C:/data/h.parquet", "file:///data/h.parquet", "tcp://host:8786"),
    ],
)
def test_what_was_shown_is_shown_the_same(address: str) -> None:
    """A redacted address does not change if it is redacted again, for example when it is read from a table."""
    once = redact(address)

    assert redact(once) == once
    assert "hunter2" not in once


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("s3://AKIAhunter2/hunter2@bucket/x", f"s3://{HIDDEN}@bucket/x"),
        ("s3://hunter2@/hunter2@bucket/x", f"s3://{HIDDEN}@bucket/x"),
        ("s3://bucket/to@me/x.parquet", "s3://bucket/to@me/x.parquet"),
        ("s3://b.1-2_c/to@me", "s3://b.1-2_c/to@me"),
    ],
)
def test_a_key_with_an_at_sign_is_told_from_a_user(address: str, known: str) -> None:
    """Text before an @ belongs to a key only if it begins with a valid bucket name, without capital letters and @."""
    assert redact(address) == known


@pytest.mark.parametrize(
    "address",
    ["s3://b/x.parquet?sig=a@h/hunter2", "s3://bucket/x?sig=hunter2@h", "s3://K:hunter2?x=1@b/y", "K:hunter2#x=1@b/y"],
)
def test_a_query_with_an_at_sign_may_be_a_password(address: str) -> None:
    """Only the scheme is shown, because the end of the password and the start of the query are unknown."""
    assert redact(address) in {f"s3://{HIDDEN}", HIDDEN}
    assert redact(redact(address)) == redact(address)
