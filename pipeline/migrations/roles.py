"""The roles that the pipeline and the API log in as, and all that each may do. Called by `migrate`, as the owner."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from pipeline import PipelineError

log = logging.getLogger("pipeline")

# Both roles read every table; this is all that the pipeline may do beside, and the API may nothing.
PIPELINE = {
    "TABLE voucher.run": "INSERT, UPDATE",
    "TABLE voucher.part": "INSERT, UPDATE",
    "TABLE voucher.run_part": "INSERT, UPDATE, DELETE",
    "TABLE voucher.loaded_part": "INSERT",
    "TABLE voucher.assignment": "INSERT",
    "TABLE voucher.rule": "INSERT, UPDATE",
    "TABLE voucher.rule_outcome": "INSERT, DELETE",
    "TABLE voucher.unplaced": "INSERT, DELETE",
    "TABLE voucher.segment_vote": "INSERT, DELETE",
    "TABLE voucher.segment": "INSERT, DELETE",
    "TABLE voucher.audit_outcome": "INSERT, UPDATE",
    "TABLE voucher.current_run": "INSERT, UPDATE",
    "TABLE voucher.publication": "INSERT",  # append-only
    "FUNCTION voucher.open_partition(text)": "EXECUTE",
    "FUNCTION voucher.drop_partition(text)": "EXECUTE",
}
API: dict[str, str] = {}


class RoleError(PipelineError):
    """A role that can't be made, or must not be used."""


@dataclass(frozen=True)
class Role:
    """A role as the URL in an environment's `variable` names it; `may` lists its privileges beside SELECT."""

    variable: str
    name: str
    password: str | None
    may: Mapping[str, str]


def named(pipeline_url: str | None, api_url: str | None) -> list[Role]:
    """The roles of those URLs that are set. Raises RoleError when one can't be read."""
    roles = []
    for variable, url, may in (("PIPELINE_DATABASE_URL", pipeline_url, PIPELINE), ("API_DATABASE_URL", api_url, API)):
        if url:
            try:
                parsed = make_url(url)
            except ArgumentError:
                parsed = None
            if not parsed or not parsed.username:
                raise RoleError(f"{variable} is not postgresql://role:password@host:port/database")
            roles.append(Role(variable, parsed.username, parsed.password, may))
    return roles


def make(cursor: Any, roles: Iterable[Role]) -> None:
    """Let each role log in by its password and do what it may, nothing else; the owner itself is left alone.

    Raises RoleError when a role may too much already, or when the owner may not make it.
    """
    others = [role for role in roles if role.name != cursor.connection.info.user]
    if len({role.name for role in others}) < len(others):
        raise RoleError(f"both the pipeline and the API would be {others[0].name!r}; name two roles in their URLs")
    for role in others:
        _let_log_in(cursor, role)
        _grant(cursor, role)


def _let_log_in(cursor: Any, role: Role) -> None:
    cursor.execute(
        """SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
            OR pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = %s""",
        (role.name,),
    )
    found = cursor.fetchone()
    if found and found[0]:
        raise RoleError(
            f"{role.variable} names {role.name!r}, which is a superuser, may make roles or databases, or is a member "
            "of the owner; name a role that may nothing of its own"
        )
    if not found:
        _set_password(cursor, role, "CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}", "does not exist")
    elif role.password and (refusal := _login_refusal(cursor, role)):
        _set_password(cursor, role, "ALTER ROLE {} LOGIN PASSWORD {}", f"can't log in ({refusal})")


def _login_refusal(cursor: Any, role: Role) -> str | None:
    """Why it can't log in by its password where the owner did; None when it can, and so need not be altered."""
    try:
        psycopg2.connect(cursor.connection.dsn, user=role.name, password=role.password).close()
    except psycopg2.OperationalError as error:
        return str(error).strip()
    return None


def _set_password(cursor: Any, role: Role, statement: str, why: str) -> None:
    """The server, and so its log, gets a verifier, never the password."""
    verifier = role.password and encrypt_password(role.password, role.name, cursor.connection, "scram-sha-256")
    name = sql.Identifier(role.name)
    try:
        cursor.execute(sql.SQL(statement).format(name, sql.Literal(verifier)))
    except psycopg2.errors.InsufficientPrivilege as error:
        shown = sql.SQL(statement).format(name, sql.Literal("...")).as_string(cursor)
        raise RoleError(
            f"{role.variable}: the role {role.name!r} {why}, and {cursor.connection.info.user!r} may not change that; "
            f"let an administrator run {shown} with the URL's password, then migrate again"
        ) from error
    log.info("migrate: the role %s has the password of %s now", role.name, role.variable)


def _grant(cursor: Any, role: Role) -> None:
    """Partitions are reached through their parent: nobody has privileges on them, so none are taken or given."""
    cursor.execute(
        """SELECT relname FROM pg_class WHERE relnamespace = 'voucher'::regnamespace
            AND relkind IN ('r', 'p', 'v') AND NOT relispartition"""
    )
    names = {
        "role": sql.Identifier(role.name),
        "database": sql.Identifier(cursor.connection.info.dbname),
        "tables": sql.SQL(", ").join(sql.Identifier("voucher", name) for (name,) in cursor.fetchall()),
    }
    revoke_and_read = """
        REVOKE ALL ON DATABASE {database} FROM {role};
        REVOKE ALL ON SCHEMA voucher FROM {role};
        REVOKE ALL ON {tables} FROM {role};
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA voucher FROM {role};
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA voucher FROM {role};
        GRANT CONNECT ON DATABASE {database} TO {role};
        GRANT USAGE ON SCHEMA voucher TO {role};
        GRANT SELECT ON {tables} TO {role};
    """
    cursor.execute(sql.SQL(revoke_and_read).format(**names))
    for what, privileges in role.may.items():
        grant = sql.SQL(f"GRANT {privileges} ON {what} TO {{role}}")
        cursor.execute(grant.format(**names))
