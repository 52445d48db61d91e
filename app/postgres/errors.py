"""PostgreSQL's errors, mapped to a few of the application's; docs/adr/0017 gives the reasons."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError
from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.errors import AppError, DatabaseFull, DatabaseUnavailable, SchemaOutdated
from app.domain.health import DOES_NOT_ANSWER, STATEMENT_ENDED

UNAVAILABLE_SQLSTATES: Final = ("08", "28", "3D", "53", "57P", "25006")
"""SQLSTATEs of a server that is unavailable.

Connection, login, no such database, resources, shutdown, read-only.
"""
REFUSED_STATEMENT_SQLSTATES: Final = ("25P03", "25P04", "3F", "40", "42501", "55", "57")
"""SQLSTATEs of a statement that an available server ended or refused.

Transaction timeouts, no schema to create in, serialization failure and deadlock, a revoked
privilege, locks and objects in use, statement timeout and cancellation.
"""
SAFE_MESSAGE_SQLSTATES: Final = ("25P03", "25P04", "40", "55P03", "57014")
"""Those of them whose message gives the cause, and shows neither queries nor data."""
SERVER_FAULT_SQLSTATES: Final = ("58", "F0", "XX")
"""SQLSTATEs of a fault of the server: system error, configuration file, internal error."""
SESSION_SETTING_SQLSTATES: Final = ("25006", "55P03", "57014")
"""SQLSTATEs that may come from settings which a session got when it started, and keeps."""
DISK_FULL_SQLSTATE: Final = "53100"
MISSING_OBJECT_SQLSTATES: Final = ("42P01", "42703")
"""SQLSTATEs of a missing table or column."""


@contextmanager
def map_postgres_errors() -> Iterator[None]:
    """Map errors of asyncpg and SQLAlchemy to the application's; others pass unchanged.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, or ended this statement; worth a retry.
        DatabaseFull: its disk is full.
        SchemaOutdated: a table or a column is missing.
    """
    try:
        yield
    except Exception as error:
        app_error = _app_error_for(error)
        if app_error is None:
            raise
        raise app_error from error


def sqlstate_of(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error, or an empty string if it has none."""
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None) or ""


def _app_error_for(error: Exception) -> AppError | None:
    sqlstate = sqlstate_of(error)
    if sqlstate in MISSING_OBJECT_SQLSTATES:
        return SchemaOutdated("the database's schema is not whole: run `alembic upgrade head`")
    if sqlstate == DISK_FULL_SQLSTATE:
        return DatabaseFull("PostgreSQL refuses writes: its disk is full")
    if reason := _unavailable_reason(error, sqlstate):
        return DatabaseUnavailable(reason)
    return None


def _unavailable_reason(error: Exception, sqlstate: str) -> str:
    """Describe why the database could not do its work; empty if the caller is at fault."""
    cause = driver_error_of(error)
    if sqlstate.startswith(UNAVAILABLE_SQLSTATES):
        return f"{DOES_NOT_ANSWER} ({type(cause).__name__})"
    if sqlstate.startswith(REFUSED_STATEMENT_SQLSTATES):
        is_safe_to_show = sqlstate.startswith(SAFE_MESSAGE_SQLSTATES) and cause.args
        reason = cause.args[0] if is_safe_to_show else type(cause).__name__
        return f"{STATEMENT_ENDED} ({reason})"
    if sqlstate.startswith(SERVER_FAULT_SQLSTATES):
        return f"PostgreSQL has trouble of its own ({type(cause).__name__})"
    if isinstance(cause, InvalidCachedStatementError):
        return f"{STATEMENT_ENDED} (a table's columns changed meanwhile)"
    if _is_unreachable(error):
        return f"{DOES_NOT_ANSWER} ({type(cause).__name__})"
    return ""


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        # SQLAlchemy reports a URL that the driver refuses as an interface error
        is_refused_url = isinstance(driver_error_of(error), ClientConfigurationError)
        return error.connection_invalidated or is_refused_url
    # SQLAlchemy wraps neither the operating system's errors nor those of the driver's COPY
    return isinstance(error, (OSError, InterfaceError, InternalClientError, PoolTimeout))


def driver_error_of(error: BaseException) -> BaseException:
    """Return the driver's own error, whose class is specific: DiskFullError rather than Error."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    return (orig.__cause__ or orig) if orig else error
