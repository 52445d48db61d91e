"""Why PostgreSQL can't be used: one line for the operator, who may see more than a client."""

import socket
import ssl
from typing import Final

from asyncpg.exceptions import ClientConfigurationError
from sqlalchemy.engine import make_url

from app.core.errors import DatabaseUnavailable
from app.core.tls_errors import certificate_remedy, reason_of
from app.core.urls import describe_database_url
from app.postgres.errors import driver_error_of, sqlstate_of

LOGIN_REFUSED_SQLSTATE: Final = "28000"
PRIVILEGE_MISSING_SQLSTATE: Final = "42501"
PROBLEMS_BY_SQLSTATE: Final = {
    "28P01": ("PostgreSQL refuses the user or the password", ""),
    "3D000": ("PostgreSQL has no such database", 'CREATE DATABASE "{database}" OWNER "{user}"'),
    "3F000": ("PostgreSQL refuses its schema", 'GRANT USAGE, CREATE ON SCHEMA public TO "{user}"'),
    "53300": ("PostgreSQL has no connection left", "raise max_connections or run fewer processes"),
    "57P03": ("PostgreSQL is starting or stopping", ""),
}
"""The problem and its remedy, by SQLSTATE."""
PROBLEMS_BY_ERROR: Final[dict[type[BaseException], str]] = {
    socket.gaierror: "the name of PostgreSQL's host has no address",
    ConnectionRefusedError: "PostgreSQL does not listen there",
    TimeoutError: "PostgreSQL does not answer in time",
}
REMEDIES_BY_MESSAGE: Final = {
    "schema public": 'GRANT USAGE, CREATE ON SCHEMA public TO "{user}"',
    "permission denied for database": 'GRANT ALL ON DATABASE "{database}" TO "{user}"',
    "must be owner": "work as the role that owns the tables",
    "": 'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"',
}
"""The remedy of a missing privilege, by a part of PostgreSQL's message; "" is in every one."""

ROOT_CERTIFICATE_MISSING: Final = "root certificate file"
"""Begins asyncpg's message if it has no authority to check a certificate by."""
ROOT_CERTIFICATE_REMEDY: Final = "name it as ?sslrootcert=/its/file.pem, or sslrootcert=system"


def describe_database_unavailable(error: DatabaseUnavailable, url: str) -> str:
    """Describe the problem, the server and the remedy in one line, without the password."""
    problem, template = _problem_and_remedy(error)
    parsed = make_url(url)
    remedy = template.format(user=parsed.username or "", database=parsed.database or "")
    return f"{problem} ({describe_database_url(url)}){remedy and f': {remedy}'}"


def _problem_and_remedy(error: DatabaseUnavailable) -> tuple[str, str]:
    if error.__cause__ is None:
        return str(error), ""
    sqlstate, cause = sqlstate_of(error.__cause__), driver_error_of(error.__cause__)
    message = str(cause).partition("\n")[0]
    if sqlstate in PROBLEMS_BY_SQLSTATE:
        return PROBLEMS_BY_SQLSTATE[sqlstate]
    if sqlstate == LOGIN_REFUSED_SQLSTATE:
        return _login_problem(message)
    if sqlstate == PRIVILEGE_MISSING_SQLSTATE:
        grant = next(grant for part, grant in REMEDIES_BY_MESSAGE.items() if part in message)
        return f"PostgreSQL refuses: {message}", grant
    return _connection_problem(cause, message) or (str(error), "")


def _login_problem(message: str) -> tuple[str, str]:
    if message.startswith("role "):
        return "PostgreSQL knows no such user", """CREATE ROLE "{user}" LOGIN PASSWORD '…'"""
    if "pg_hba.conf" in message:
        is_plain = "no encryption" in message or "SSL off" in message
        remedy = "ask for TLS by ?sslmode=require" if is_plain else "admit it there"
        return f"PostgreSQL's pg_hba.conf admits no such connection{_encryption(message)}", remedy
    return f"PostgreSQL refuses the login: {message}", ""


def _encryption(message: str) -> str:
    """Return " with SSL encryption" or " with no encryption", if the message says so."""
    last = message.rpartition(", ")[2]
    return f" with {last}" if "encryption" in last else ""


def _connection_problem(cause: BaseException, message: str) -> tuple[str, str] | None:
    if isinstance(cause, ssl.SSLError) or "rejected SSL upgrade" in message:
        return _tls_problem(cause)
    if isinstance(cause, ClientConfigurationError):
        is_file_missing = message.startswith(ROOT_CERTIFICATE_MISSING)
        return message, ROOT_CERTIFICATE_REMEDY if is_file_missing else ""
    matches = (text for kind, text in PROBLEMS_BY_ERROR.items() if isinstance(cause, kind))
    problem = next(matches, None)
    return None if problem is None else (problem, "")


def _tls_problem(cause: BaseException) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = f"PostgreSQL's certificate is refused: {cause.verify_message}"
        return problem, certificate_remedy(cause, "sslrootcert")
    if isinstance(cause, ssl.SSLError):
        return f"TLS to PostgreSQL fails: {reason_of(cause)}", ""
    return "PostgreSQL offers no TLS", "leave out sslmode, or write ?sslmode=prefer"
