"""Why Redis can't be used: one line for the operator, who may see more than a client."""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core.errors import BrokerUnavailable
from app.core.tls_errors import certificate_remedy, reason_of, unreadable_reason
from app.core.urls import describe_redis_url
from app.redis.client import socket_error_of

TLS_FILE_PARAMETERS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PROBLEMS_BY_ERROR: Final[dict[type[BaseException], str]] = {
    socket.gaierror: "the name of Redis's host has no address",
    ConnectionRefusedError: "Redis does not listen there",
}
NO_TLS_REMEDY: Final = "if it speaks no TLS there, write redis://"
PEM_REMEDY: Final = "it must be in PEM format"
CLOSED_MESSAGE: Final = "Connection closed by server"
"""Begins redis-py's message if the server closed the connection in an orderly way."""
CLIENT_CERTIFICATE_MISSING: Final = "CERTIFICATE_REQUIRED"
"""Part of OpenSSL's reason if the server wants a certificate of its client.

The server may close the connection before this reason is read.
"""
CLIENT_CERTIFICATE_REMEDY: Final = (
    "name one as ?ssl_certfile=/its/file.pem&ssl_keyfile=/its/key.pem"
)


def describe_redis_unavailable(error: BrokerUnavailable, url: str) -> str:
    """Describe the problem, the server and the remedy in one line, without the password."""
    problem, remedy = _problem_and_remedy(error, url)
    return f"{problem} ({describe_redis_url(url)}){remedy and f': {remedy}'}"


def _problem_and_remedy(error: BrokerUnavailable, url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    parameters, is_tls = dict(parse_qsl(parts.query)), parts.scheme == "rediss"
    if found := _parameter_problem(parameters):
        return found
    cause = error.__cause__ and socket_error_of(error.__cause__)
    if isinstance(cause, ssl.SSLError):
        return _tls_problem(cause)
    if isinstance(cause, (TimeoutError, RedisTimeoutError)):
        return "Redis does not answer in time", NO_TLS_REMEDY if is_tls else ""
    if _is_closed_by_server(cause):
        return _closed_by_server_problem(parameters, is_tls=is_tls)
    problems = (text for kind, text in PROBLEMS_BY_ERROR.items() if isinstance(cause, kind))
    return next(problems, str(error)), ""


def _is_closed_by_server(cause: BaseException | None) -> bool:
    is_closed = isinstance(cause, RedisConnectionError) and str(cause).startswith(CLOSED_MESSAGE)
    return is_closed or isinstance(cause, ConnectionResetError)


def _closed_by_server_problem(parameters: Mapping[str, str], *, is_tls: bool) -> tuple[str, str]:
    if not is_tls:
        return "Redis closes the connection", "if it speaks TLS there, write rediss://"
    remedy = f"if it wants a certificate of its client, {CLIENT_CERTIFICATE_REMEDY}"
    return "Redis closes the TLS connection", "" if "ssl_certfile" in parameters else remedy


def _tls_problem(cause: ssl.SSLError) -> tuple[str, str]:
    if isinstance(cause, ssl.SSLCertVerificationError):
        problem = f"Redis's certificate is refused: {cause.verify_message}"
        return problem, certificate_remedy(cause, "ssl_ca_certs")
    reason = reason_of(cause)
    if CLIENT_CERTIFICATE_MISSING in reason:
        return "Redis wants a certificate of its client", CLIENT_CERTIFICATE_REMEDY
    return f"TLS to Redis fails: {reason}", NO_TLS_REMEDY


def _parameter_problem(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    """Describe a parameter of the URL that OpenSSL can't use, and the remedy."""
    for name in TLS_FILE_PARAMETERS:
        if name in parameters and (reason := unreadable_reason(parameters[name])):
            return f"{name}={parameters[name]} can't be read ({reason})", ""
    return (
        _authority_problem(parameters)
        or _client_certificate_problem(parameters)
        or _cipher_problem(parameters)
    )


def _authority_problem(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    file, data = parameters.get("ssl_ca_certs"), parameters.get("ssl_ca_data")
    if file and not _openssl_accepts(lambda context: context.load_verify_locations(file)):
        return f"ssl_ca_certs={file} holds no valid certificate", PEM_REMEDY
    if data and not _openssl_accepts(lambda context: context.load_verify_locations(cadata=data)):
        return "ssl_ca_data holds no valid certificate", PEM_REMEDY
    return None


def _client_certificate_problem(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    file, key = parameters.get("ssl_certfile"), parameters.get("ssl_keyfile")
    password = parameters.get("ssl_password", "")  # without one, OpenSSL would ask on the terminal
    if file and not _openssl_accepts(lambda context: context.load_cert_chain(file, key, password)):
        problem = f"ssl_certfile={file} and its key can't be used"
        return problem, "both must be in PEM format and belong together"
    return None


def _cipher_problem(parameters: Mapping[str, str]) -> tuple[str, str] | None:
    ciphers = parameters.get("ssl_ciphers")
    if ciphers and not _openssl_accepts(lambda context: context.set_ciphers(ciphers)):
        return f"ssl_ciphers={ciphers} names no usable cipher", "`openssl ciphers` lists them"
    return None


def _openssl_accepts(use: Callable[[ssl.SSLContext], None]) -> bool:
    """Return whether a context can be set up so."""
    try:
        use(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except (OSError, TypeError, ValueError):  # Python refuses some texts before OpenSSL reads them
        return False
    return True
