"""Why PostgreSQL can't be used, in one line for who runs the service; clients are told less."""

import socket
import ssl
from typing import Final

from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy.engine import make_url

from app.core.errors import DatabaseUnavailable
from app.core.urls import describe_database_url
from app.postgres.errors import cause_of, state_of

LOGIN_REFUSED: Final = "28000"
PRIVILEGE_MISSING: Final = "42501"
BY_STATE: Final = {
    "28P01": ("PostgreSQL refuses the user or the password", ""),
    "3D000": ("PostgreSQL has no such database", 'CREATE DATABASE "{database}" OWNER "{user}"'),
    "3F000": ("PostgreSQL refuses its schema", 'GRANT USAGE, CREATE ON SCHEMA public TO "{user}"'),
    "53300": ("PostgreSQL has no connection left", "raise max_connections or run fewer processes"),
    "57P03": ("PostgreSQL is starting or stopping", ""),
}
"""What is wrong, and what mends it."""
BY_KIND: Final[dict[type[BaseException], str]] = {
    socket.gaierror: "the name of PostgreSQL's host has no address",
    ConnectionRefusedError: "PostgreSQL does not listen there",
    TimeoutError: "PostgreSQL does not answer in time",
}
GRANTS: Final = {
    "schema public": 'GRANT USAGE, CREATE ON SCHEMA public TO "{user}"',
    "permission denied for database": 'GRANT ALL ON DATABASE "{database}" TO "{user}"',
    "must be owner": "work as the role that owns the tables",
    "": 'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"',
}
"""By what PostgreSQL's message holds."""


def explain(error: DatabaseUnavailable, url: str) -> str:
    """Say what is wrong, where, and what mends it; never the password."""
    words, remedy = _diagnosis(error)
    whole = make_url(url)
    mended = remedy.format(user=whole.username or "", database=whole.database or "")
    return f"{words} ({describe_database_url(url)}){mended and f': {mended}'}"


def _diagnosis(error: DatabaseUnavailable) -> tuple[str, str]:
    if error.__cause__ is None:
        return str(error), ""
    state, cause = state_of(error.__cause__), cause_of(error.__cause__)
    message = str(cause).partition("\n")[0]
    if state in BY_STATE:
        return BY_STATE[state]
    if state == LOGIN_REFUSED:
        return _login(message)
    if state == PRIVILEGE_MISSING:
        grant = next(grant for words, grant in GRANTS.items() if words in message)
        return f"PostgreSQL refuses: {message}", grant
    return _unconnected(cause, message) or (str(error), "")


def _login(message: str) -> tuple[str, str]:
    if message.startswith("role "):
        return "PostgreSQL knows no such user", """CREATE ROLE "{user}" LOGIN PASSWORD '…'"""
    if "pg_hba.conf" in message:
        without = "no encryption" in message or "SSL off" in message
        remedy = "ask for TLS by ?sslmode=require" if without else "acquire it there"
        return f"PostgreSQL's pg_hba.conf admits no such connection{_how(message)}", remedy
    return f"PostgreSQL refuses the login: {message}", ""


def _how(message: str) -> str:
    """Tell whether the connection that was refused was encrypted."""
    how = message.rpartition(", ")[2]
    return f" with {how}" if "encryption" in how else ""


def _unconnected(cause: BaseException, message: str) -> tuple[str, str] | None:
    if isinstance(cause, ssl.SSLError) or "rejected SSL upgrade" in message:
        return _tls(cause, message)
    if isinstance(cause, ClientConfigurationError):
        return message, "name it as ?sslrootcert=/its/file.pem, or sslrootcert=system"
    words = next((words for kind, words in BY_KIND.items() if isinstance(cause, kind)), None)
    return None if words is None else (words, "")


def _tls(cause: BaseException, message: str) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        words = f"PostgreSQL's certificate is refused: {cause.verify_message}"
        return words, "name the authority that signed it as ?sslrootcert=/its/file.pem"
    if isinstance(cause, ssl.SSLError):
        return f"TLS to PostgreSQL fails: {cause.reason or message}", ""
    return "PostgreSQL offers no TLS", "leave out sslmode, or write ?sslmode=prefer"
