"""Why Redis can't be used: one line for the operator, who may see more than a client."""

import socket
import ssl
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core.errors import BrokerUnavailable
from app.core.tls_errors import certificate_remedy, read_error
from app.core.urls import describe_redis_url
from app.redis.client import socket_error_of

TLS_FILE_PARAMETERS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PROBLEMS_BY_ERROR: Final[dict[type[BaseException], str]] = {
    socket.gaierror: "the name of Redis's host has no address",
    ConnectionRefusedError: "Redis does not listen there",
}
SPEAKS_NO_TLS: Final = "if it speaks no TLS there, write redis://"
CLOSED_MESSAGE: Final = "Connection closed by server"
"""Begins redis-py's message if the server closed the connection in an orderly way."""
CLIENT_CERTIFICATE_MISSING: Final = "CERTIFICATE_REQUIRED"
"""Part of OpenSSL's reason if the server wants a certificate of its client."""


def describe_redis_unavailable(error: BrokerUnavailable, url: str) -> str:
    """Describe the problem, the server and the remedy in one line, without the password."""
    problem, remedy = _problem_and_remedy(error, url)
    return f"{problem} ({describe_redis_url(url)}){remedy and f': {remedy}'}"


def _problem_and_remedy(error: BrokerUnavailable, url: str) -> tuple[str, str]:
    cause = error.__cause__ and socket_error_of(error.__cause__)
    if isinstance(cause, OSError) and (found := _file_problem(url)):
        return found
    if isinstance(cause, ssl.SSLError):
        return _tls_problem(cause)
    is_tls = urlsplit(url).scheme == "rediss"
    if isinstance(cause, (TimeoutError, RedisTimeoutError)):
        return "Redis does not answer in time", SPEAKS_NO_TLS if is_tls else ""
    if _is_closed_by_server(cause) and not is_tls:
        return "Redis closes the connection", "if it speaks TLS there, write rediss://"
    problems = (text for kind, text in PROBLEMS_BY_ERROR.items() if isinstance(cause, kind))
    return next(problems, str(error)), ""


def _is_closed_by_server(cause: BaseException | None) -> bool:
    is_closed = isinstance(cause, RedisConnectionError) and str(cause).startswith(CLOSED_MESSAGE)
    return is_closed or isinstance(cause, ConnectionResetError)


def _tls_problem(cause: ssl.SSLError) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = f"Redis's certificate is refused: {cause.verify_message}"
        return problem, certificate_remedy(cause, "ssl_ca_certs")
    reason = cause.reason or type(cause).__name__
    if CLIENT_CERTIFICATE_MISSING in reason:
        remedy = "name one as ?ssl_certfile=/its/file.pem&ssl_keyfile=/its/key.pem"
        return "Redis wants a certificate of its client", remedy
    return f"TLS to Redis fails: {reason}", SPEAKS_NO_TLS


def _file_problem(url: str) -> tuple[str, str] | None:
    """Describe a file that the URL names and that can't be used, and the remedy."""
    files = dict(parse_qsl(urlsplit(url).query))
    for name in TLS_FILE_PARAMETERS:
        if name in files and (reason := read_error(files[name])):
            return f"{name}={files[name]} can't be read ({reason})", ""
    return _authority_problem(files) or _client_certificate_problem(files)


def _authority_problem(files: dict[str, str]) -> tuple[str, str] | None:
    file = files.get("ssl_ca_certs")
    try:
        if file:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return f"ssl_ca_certs={file} holds no valid certificate", "it must be in PEM format"
    return None


def _client_certificate_problem(files: dict[str, str]) -> tuple[str, str] | None:
    file, key = files.get("ssl_certfile"), files.get("ssl_keyfile")
    password = files.get("ssl_password", "")  # without one, OpenSSL would ask on the terminal
    try:
        if file:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(file, key, password)
    except ssl.SSLError:
        problem = f"ssl_certfile={file} and its key can't be used"
        return problem, "both must be in PEM format and belong together"
    return None
