"""Read a part at an https address: its headers and its bytes. Called by `parts` and `copies`.

The address may contain secrets: a signature, a token, a password. Errors name it by `redact`, and never repeat messages
of the server or the library, which may contain them too.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError, SSLError, TooManyRedirects
from urllib3.util import Retry

from pipeline.source import tempfolder
from pipeline.source.s3 import TIMEOUT, SourceError, SourceInterrupted, SourceUnavailable
from shared.addresses import HIDDEN, redact

SCHEME = re.compile(r"https?:", re.IGNORECASE)
HEADERS = {"Accept-Encoding": "identity"}  # the bytes of the file, not what a server makes of them on the way
PASSING = {429, 500, 502, 503, 504}
CHUNK = 1 << 20  # bytes

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings and debug lines repeat paths and queries


def head(address: str) -> tuple[str, int]:
    """Return ETag and size of the file at the address, '' and 0 if the server doesn't say.

    Many servers refuse HEAD, and so do links signed for GET: then a GET request is sent, and its body isn't read. An
    address with a query has no ETag, because its redacted name (see `redact`) may be that of another file.
    """
    with _session() as session:
        try:
            answer = session.head(address, headers=HEADERS, timeout=TIMEOUT, allow_redirects=True)
        except (requests.RequestException, ValueError):
            answer = None
        if not (answer is not None and answer.ok):
            with _errors(address):
                answer = session.get(address, headers=HEADERS, timeout=TIMEOUT, stream=True)
                answer.close()
                answer.raise_for_status()
    length = re.match(r"\d+", answer.headers.get("Content-Length", ""))  # two equal ones are joined by a comma
    return _etag(address, answer), int(length[0]) if length else 0


def fetch(address: str, path: Path) -> tuple[str, str]:
    """Write the bytes at the address to a file; return their SHA-256 and the ETag that came with them.

    The ETag isn't used as a condition, because each server behind a balancer may have its own. The SHA-256 tells
    whether the bytes are the planned ones.
    """
    try:
        return _fetch(address, path, decoded=True)
    except ContentDecodingError:  # the file itself is called compressed, as servers do with names like x.parquet.gzip
        return _fetch(address, path, decoded=False)


def _fetch(address: str, path: Path, decoded: bool) -> tuple[str, str]:
    with _session() as session, _errors(address):
        answer = session.get(address, headers=HEADERS, timeout=TIMEOUT, stream=True)
    with answer:
        with _errors(address):
            answer.raise_for_status()
        if not decoded:
            answer.raw.headers.discard("Content-Encoding")
        with _errors(address, SourceInterrupted):
            digest = tempfolder.save(answer.iter_content(CHUNK), path)
    return digest, _etag(address, answer)


def _etag(address: str, answer: requests.Response) -> str:
    names_one_file = "?" not in address and not redact(address).endswith(f"/{HIDDEN}")
    return answer.headers.get("ETag", "") if names_one_file else ""


def _session() -> requests.Session:
    """Return a session that tries each GET request three times. If a server asks for a longer wait, the step's retry
    asks again.
    """
    retry = Retry(
        total=2, read=0, backoff_factor=0.2, status_forcelist=PASSING, allowed_methods={"GET"}, raise_on_status=False,
        respect_retry_after_header=False,
    )  # fmt: skip
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


@contextmanager
def _errors(address: str, away: type[SourceUnavailable] = SourceUnavailable) -> Iterator[None]:
    try:
        yield
    except ContentDecodingError:
        raise
    except requests.HTTPError as error:
        raise _refused(address, error.response.status_code) from None
    except TooManyRedirects:
        raise SourceError(f"{redact(address)} redirects too often; check VOUCHER_SOURCE") from None
    except SSLError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise SourceError(
                f"{redact(address)}: the server's certificate is not trusted; set REQUESTS_CA_BUNDLE to its authority's"
            ) from None
        raise away(f"{redact(address)} can't be fetched (SSLError); check the address and the network") from None
    except ValueError:  # what can't be an address; requests.InvalidURL is one too
        raise SourceError(f"{redact(address)} is not the address of a file; check VOUCHER_SOURCE") from None
    except requests.RequestException as error:
        raise away(
            f"{redact(address)} can't be fetched ({type(error).__name__}); check the address and the network"
        ) from None


def _refused(address: str, status: int) -> SourceError:
    known = {each.value: each.phrase for each in HTTPStatus}
    kind = SourceUnavailable if status >= 500 or status in PASSING else SourceError
    remedy = "check VOUCHER_SOURCE"
    if status in {401, 403, 410}:
        remedy += ": a signed link or a token in it may have expired"
    return kind(f"{redact(address)}: the server answered {status} {known.get(status, '')}; {remedy}")
