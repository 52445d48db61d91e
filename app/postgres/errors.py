"""The ways in which PostgreSQL fails, each with its name; docs/adr/0017 gives the reasons."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.errors import AppError, DatabaseFull, DatabaseUnavailable, SchemaOutdated
from app.domain.freshness import DOES_NOT_ANSWER, STATEMENT_ENDED

AWAY_STATES: Final = ("08", "28", "3D", "53", "57P", "25006")
"""SQLSTATEs of a server that is away.

Connection, login, no such database, resources, shutdown, read-only.
"""
REFUSED_STATES: Final = ("25P03", "25P04", "3F", "40", "42501", "55", "57")
"""SQLSTATEs of a statement that a server which is there ended or refused.

Timeouts of a transaction, no schema to create in, serialization and deadlock, a right that was
taken away, locks and objects in use, a statement's timeout and who cancels it.
"""
EXPLAINED_STATES: Final = ("25P03", "25P04", "40", "55P03", "57014")
"""Those of them whose message says why, and nothing of what was asked or stored."""
BROKEN_STATES: Final = ("58", "F0", "XX")
"""SQLSTATEs of a server that has trouble itself: its system, its configuration, its insides."""
SESSION_STATES: Final = ("25006", "55P03", "57014")
"""SQLSTATEs that may come from settings which a session got when it began, and keeps."""
FULL_STATE: Final = "53100"
OUTDATED_STATES: Final = ("42P01", "42703")
"""SQLSTATEs of a table or a column that is not there."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the many ways in which PostgreSQL fails into a few errors; others pass unchanged.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or not this time.
        DatabaseFull: its disk is full.
        SchemaOutdated: a table or a column is not there.
    """
    try:
        yield
    except Exception as error:
        named = _named(error)
        if named is None:
            raise
        raise named from error


def state_of(error: BaseException | None) -> str:
    """Give the SQLSTATE of an error, empty where it has none."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) or ""


def _named(error: Exception) -> AppError | None:
    state = state_of(error)
    if state in OUTDATED_STATES:
        return SchemaOutdated("the database's schema is not whole: run `alembic upgrade head`")
    if state == FULL_STATE:
        return DatabaseFull("PostgreSQL refuses writes: its disk is full")
    if words := _trouble(error, state):
        return DatabaseUnavailable(words)
    return None


def _trouble(error: Exception, state: str) -> str:
    """Tell in words what trouble the database has; empty where the fault is ours."""
    cause = cause_of(error)
    if state.startswith(AWAY_STATES):
        return f"{DOES_NOT_ANSWER} ({type(cause).__name__})"
    if state.startswith(REFUSED_STATES):
        is_explained = state.startswith(EXPLAINED_STATES) and cause.args
        why = cause.args[0] if is_explained else type(cause).__name__
        return f"{STATEMENT_ENDED} ({why})"
    if state.startswith(BROKEN_STATES):
        return f"PostgreSQL has trouble of its own ({type(cause).__name__})"
    if isinstance(cause, InvalidCachedStatementError):
        return f"{STATEMENT_ENDED} (a table's columns changed meanwhile)"
    if _is_broken_off(error):
        return f"{DOES_NOT_ANSWER} ({type(cause).__name__})"
    return ""


def _is_broken_off(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    # what the operating system says, or the driver at a COPY, comes without SQLAlchemy's wrapping
    return isinstance(error, (OSError, InterfaceError, InternalClientError, PoolTimeout))


def cause_of(error: BaseException) -> BaseException:
    """Give the driver's own error, whose name tells more: DiskFullError rather than Error."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    return (orig.__cause__ or orig) if orig else error
