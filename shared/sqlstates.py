"""Classify errors of Postgres and its driver by SQLSTATE, with what to do. Used by the pipeline and the service.

While it connects, the driver has no SQLSTATE. Then the text of its message decides.
"""

import re
from dataclasses import dataclass, replace

import psycopg2
import sqlalchemy.exc

from shared.addresses import HIDDEN
from shared.postgres import Address


@dataclass(frozen=True)
class Answer:
    """A kind of error: an SQLSTATE or the two characters of its class, what it means, and what to do.

    `message` has a placeholder for the server's text, `remedy` one for the variable that holds the address. `words` is
    a regular expression for the driver's message while it connects; "" if the error cannot occur then.
    """

    sqlstate: str
    message: str
    retryable: bool
    remedy: str
    words: str = ""


NO_RESPONSE = Answer("08", "Postgres does not answer ({detail})", True, "check {variable} and that it runs")
OTHER = Answer("", "Postgres refused: {detail}", False, "see the log of Postgres")
FULL = Answer("53", "Postgres has run out of a resource ({detail})", True, "give the server more of it")
NO_TABLES = Answer("42P01", "Postgres lacks the tables ({detail})", False, "run `python -m pipeline migrate`")
NO_TEXT = Answer("22P05", "the database cannot store a text ({detail})", False,
                 "create a database with ENCODING 'UTF8', or correct the text")  # fmt: skip
COLLISION = Answer("40001", "two sessions wanted the same rows ({detail})", True, "run again")

# The first match counts. Those without an SQLSTATE only come from the driver.
ANSWERS = (
    Answer("57P03", "Postgres is starting or stopping ({detail})", True, "wait until it is up",
           r"starting up|shutting down|in recovery mode|not (yet )?accepting connections"),
    Answer("28P01", "Postgres refused the password", False,
           "correct it in {variable}; to change it in Postgres, see docs/operations.md, Rotating secrets",
           r"password authentication failed|SASL authentication failed|auth failed|no password supplied"),
    Answer("28", "Postgres does not accept the role of {variable}", False,
           "check that the role exists and may log in, and pg_hba.conf of the server",
           r"pg_hba\.conf|not permitted to log in|role .* does not exist|authentication failed|denied for database"),
    Answer("3D000", "Postgres does not have the database of {variable}", False,
           "create it, or correct the name after the last / of the address",
           r"database .* does not exist|no such database"),
    replace(FULL, sqlstate="53300", message="Postgres has no connection left ({detail})",
            remedy="close others, or raise max_connections or the role's CONNECTION LIMIT",
            words=r"too many (clients|connections)|connection slots|no more connections"),
    Answer("08P01", "a connection pooler refused a start-up parameter", False,
           "remove `options` from {variable}, or let the pooler ignore that parameter",
           r"unsupported startup parameter|command-line options"),
    Answer("25006", "Postgres accepts no writes: it is a replica or read-only", False,
           "name the primary in {variable}"),
    Answer("", "no server of {variable} matches target_session_attrs", True,
           "name the primary too, or wait until a replica has taken over",
           r"session is (not )?read-only|hot standby mode"),
    replace(NO_RESPONSE,
            words=r"SSL SYSCALL|SSL connection has been closed|closed the connection|terminating connection"),
    replace(NO_RESPONSE, sqlstate="57P"),
    Answer("", "Postgres and {variable} do not agree on encryption", False,
           "check sslmode and the certificates that the address names", r"SSL|certificate|GSSAPI|sslmode|sslrootcert"),
    Answer("", "a parameter of {variable} cannot be used", False, "check the names and values after its ?",
           r'invalid (\w+ )?value|could not match|definition of service|configuration parameter|parameter "'),
    Answer("57014", "Postgres cancelled a statement ({detail})", False,
           "run again; if it happens again, look for statement_timeout in {variable} and for who cancels statements"),
    Answer("53100", "the disk of Postgres is full ({detail})", False, "free space on it, then run again"),
    replace(FULL, sqlstate="53200", message="Postgres has too little memory ({detail})"),
    FULL,
    Answer("54000", "a value is too long for an index of Postgres ({detail})", False,
           "find the longest country_code of the history, and correct it or drop its rows by a rule"),
    Answer("54", "a limit of Postgres is exceeded ({detail})", False, "see the log of Postgres"),
    Answer("55P03", "another session has locked a table ({detail}; pg_stat_activity shows which)", True,
           "run again when it has finished"),
    Answer("42501", "Postgres refused: {detail}", False,
           "run `python -m pipeline migrate`, which grants the role of {variable} what it needs"),
    NO_TABLES,
    replace(NO_TABLES, sqlstate="3F000"),
    replace(NO_TABLES, sqlstate="42883"),
    NO_TEXT,
    replace(NO_TEXT, sqlstate="22021", message="a text has bytes that its encoding does not have ({detail})"),
    COLLISION,
    replace(COLLISION, sqlstate="40P01"),
)  # fmt: skip

DETAILS = (
    ("Connection refused", "connection refused"),
    ("timeout expired", "no answer in time"),
    ("could not translate host name", "unknown host"),
    ("No such file or directory", "no such socket"),
    ("No route to host", "no route to the host"),
    ("Network is unreachable", "the network is unreachable"),
    ("server closed the connection", "the server closed the connection"),
    ("starting up", "it is starting up"),
    ("shutting down", "it is shutting down"),
    ("in recovery mode", "it is in recovery mode"),
)
BYTES = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")


def classify(error: BaseException) -> Answer:
    """Return the kind of error, by its SQLSTATE or, without one, by the driver's message."""
    error = cause(error)
    if state := getattr(error, "pgcode", None):
        fitting = (each for each in ANSWERS if each.sqlstate and state.startswith(each.sqlstate))
        return next(fitting, OTHER)
    if isinstance(error, psycopg2.ProgrammingError):  # raised by the driver itself, without a server
        return OTHER
    said = str(error)
    return next((each for each in ANSWERS if each.words and re.search(each.words, said, re.MULTILINE)), NO_RESPONSE)


def explain(error: BaseException, address: Address) -> str:
    """Return what happened and what to do, in one line without any part of the address."""
    answer = classify(error)
    happened = f"{answer.message}; {answer.remedy}"
    return happened.format(detail=detail(error, address), variable=address.variable)


def happened(error: BaseException, address: Address) -> str:
    """Return what happened, without what to do."""
    return classify(error).message.format(detail=detail(error, address), variable=address.variable)


def detail(error: BaseException, address: Address) -> str:
    """Return the message of the server or driver, without any part of the address."""
    error = cause(error)
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if not getattr(error, "pgcode", None):
        for words, ours in DETAILS:
            if words in said:
                return ours
        said = re.sub(r'"[^"]*"', HIDDEN, said)
    elif coded := BYTES.search(said):
        text = bytes.fromhex(coded[0].replace("0x", "")).decode(errors="replace")
        said = f"{said}: {text!r}"
    return address.redacted(said)


def cause(error: BaseException) -> BaseException:
    """Return the first driver error in the chain. For example, a rollback fails because Postgres had crashed before."""
    found: BaseException | None = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    first = found or error
    while found:
        first = found if isinstance(found, psycopg2.Error) else first
        found = None if found.__suppress_context__ else found.__context__
    return first
