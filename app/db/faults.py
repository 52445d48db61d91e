"""The ways in which PostgreSQL fails, each with its name."""

from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import InterfaceError, InternalClientError
from sqlalchemy.exc import DBAPIError

from app.core.errors import AppError, DatabaseFull, DatabaseUnavailable, SchemaOutdated

AWAY_STATES = ("08", "28", "3D", "53", "57P", "25006")
"""SQLSTATEs of a server that is away.

Connection, login, no such database, resources, shutdown, read-only.
"""
FULL_STATE = "53100"
OUTDATED_STATES = ("42P01", "42703")
"""SQLSTATEs of a table or a column that is not there."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the many ways in which PostgreSQL fails into a few errors; others pass unchanged.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
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


def _named(error: Exception) -> AppError | None:
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if state in OUTDATED_STATES:
        return SchemaOutdated("the database's schema is not whole: run `alembic upgrade head`")
    if state == FULL_STATE:
        return DatabaseFull("PostgreSQL refuses writes: its disk is full")
    if _is_away(error, state or ""):
        return DatabaseUnavailable(f"PostgreSQL does not answer ({type(_cause(error)).__name__})")
    return None


def _is_away(error: Exception, state: str) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or state.startswith(AWAY_STATES)
    # what the operating system says, or the driver at a COPY, comes without SQLAlchemy's wrapping
    broken = (OSError, InterfaceError, InternalClientError)
    return isinstance(error, broken) or state.startswith(AWAY_STATES)


def _cause(error: BaseException) -> BaseException:
    """Give the driver's own error, whose name tells more: DiskFullError rather than Error."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    return (orig.__cause__ or orig) if orig else error
