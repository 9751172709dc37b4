"""The roles of the pipeline and the API, and their privileges. Called by `migrate`, as the owner."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from pipeline import PipelineError
from shared import postgres, sqlstates
from shared.environment import SettingsError
from shared.postgres import FORM, Address

log = logging.getLogger("pipeline")

# Both roles read every table; this is all that the pipeline may do beside, and the API may nothing.
PIPELINE = {
    "TABLE voucher.run": "INSERT, UPDATE",
    "TABLE voucher.part": "INSERT, UPDATE",
    "TABLE voucher.run_part": "INSERT, UPDATE, DELETE",
    "TABLE voucher.loaded_part": "INSERT",
    "TABLE voucher.assignment": "INSERT",
    "TABLE voucher.rule": "INSERT, UPDATE",
    "TABLE voucher.kind": "INSERT, UPDATE",
    "TABLE voucher.rule_outcome": "INSERT, DELETE",
    "TABLE voucher.unplaced": "INSERT, DELETE",
    "TABLE voucher.segment_vote": "INSERT, DELETE",
    "TABLE voucher.segment": "INSERT, DELETE",
    "TABLE voucher.effect": "INSERT, DELETE",
    "TABLE voucher.policy": "INSERT, DELETE",
    "TABLE voucher.draw": "INSERT, DELETE",
    "TABLE voucher.audit_outcome": "INSERT, UPDATE",
    "TABLE voucher.current_run": "INSERT, UPDATE",
    "TABLE voucher.publication": "INSERT",  # append-only
    "TABLE voucher.notice": "INSERT, UPDATE",
    "FUNCTION voucher.open_partition(text)": "EXECUTE",
    "FUNCTION voucher.drop_partition(text)": "EXECUTE",
}
API: dict[str, str] = {}


class RoleError(PipelineError):
    """A role that can't be created or must not be used."""


@dataclass(frozen=True)
class Role:
    """A role as its address names it; `may` lists its privileges beside SELECT."""

    address: Address
    may: Mapping[str, str]

    @property
    def variable(self) -> str:
        return self.address.variable

    @property
    def name(self) -> str:
        return self.address.username

    @property
    def password(self) -> str | None:
        return self.address.password


def named(pipeline_url: Address | str | None, api_url: Address | str | None) -> list[Role]:
    """Return the roles of the addresses that are set. Raises RoleError if one can't be read or names no role."""
    roles = []
    for variable, url, may in (("PIPELINE_DATABASE_URL", pipeline_url, PIPELINE), ("API_DATABASE_URL", api_url, API)):
        if not url:
            continue
        try:
            address = Address.read(url, variable) if isinstance(url, str) else url
        except SettingsError as error:
            raise RoleError(str(error)) from None
        if not address.username:
            raise RoleError(f"{variable} is not {FORM}: it names no role")
        roles.append(Role(address, may))
    return roles


def make(cursor: Any, roles: Iterable[Role], owner: Address) -> None:
    """Let each role log in with its password, with its privileges and no others. The owner itself stays as it is.

    Raises RoleError if a role has too many privileges already, or if the owner may not create it.
    """
    others = [role for role in roles if role.name != cursor.connection.info.user]
    if len({role.name for role in others}) < len(others):
        variables = " and ".join(role.variable for role in others)
        raise RoleError(f"{variables} name the same role, but the pipeline and the API need one each; use two")
    for role in others:
        _let_log_in(cursor, role, owner)
        _grant(cursor, role)


def _let_log_in(cursor: Any, role: Role, owner: Address) -> None:
    cursor.execute(
        """SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
            OR pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = %s""",
        (role.name,),
    )
    found = cursor.fetchone()
    if found and found[0]:
        raise RoleError(
            f"the role of {role.variable} is a superuser, may create roles or databases, or is a member of the owner; "
            "use a role without privileges of its own"
        )
    if not found:
        _set_password(cursor, role, "CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}", "does not exist")
    elif role.password and (refusal := _login_refusal(role, owner)):
        _set_password(cursor, role, "ALTER ROLE {} LOGIN PASSWORD {}", f"can't log in ({refusal})")


def _login_refusal(role: Role, owner: Address) -> str | None:
    """Return why the role can't log in with its password; None if it can, so that it need not be altered."""
    try:
        postgres.connect(owner.for_role(role.address)).close()
    except psycopg2.OperationalError as error:
        return sqlstates.happened(error, role.address)
    return None


def _set_password(cursor: Any, role: Role, statement: str, why: str) -> None:
    """Set the password by its verifier, so that neither the server nor its log gets the password."""
    verifier = role.password and encrypt_password(role.password, role.name, cursor.connection, "scram-sha-256")
    name = sql.Identifier(role.name)
    try:
        cursor.execute(sql.SQL(statement).format(name, sql.Literal(verifier)))
    except psycopg2.errors.InsufficientPrivilege:
        shown = statement.format("role", "'password'")
        raise RoleError(
            f"the role of {role.variable} {why}, and the owner may not change that; let an administrator run {shown} "
            f"with the role and the password of {role.variable}, then migrate again"
        ) from None
    log.info("migrate: the role of %s has its password now", role.variable)


def _grant(cursor: Any, role: Role) -> None:
    """Grant the privileges. Partitions are reached through their parent, so they need none."""
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
    cursor.execute("SELECT has_database_privilege(%s, current_database(), 'CONNECT')", (role.name,))
    if not cursor.fetchone()[0]:  # Postgres only warns of a GRANT that was not the owner's to make
        raise RoleError(
            f"the role of {role.variable} may not connect to the database, and the owner may not change that; let an "
            "administrator run GRANT CONNECT ON DATABASE for it, then migrate again"
        )
