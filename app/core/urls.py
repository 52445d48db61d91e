"""URLs in settings: validation, parsing, and display without secrets."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from pydantic import SecretStr

DATABASE_SCHEME: Final = "postgresql+asyncpg"
DATABASE_PORT: Final = 5432
REDIS_PORT: Final = 6379
TLS_PARAMETERS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")
"""Parameters of a database's URL, named as in libpq."""
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DATABASE_PARAMETERS: Final = (
    *TLS_PARAMETERS,
    *("host", "port", "ssl", "passfile", "target_session_attrs", "krbsrvname", "gsslib"),
    "prepared_statement_cache_size",
)
DATABASE_PARAMETER_VALUES: Final[Mapping[str, Sequence[str]]] = {
    "sslmode": SSL_MODES,
    "ssl": SSL_MODES,
    "target_session_attrs": (
        *("any", "primary", "standby", "prefer-standby"),
        *("read-write", "read-only"),
    ),
    "gsslib": ("gssapi", "sspi"),
}
HOST_PARAMETERS: Final = ("host", "port")
"""Parameters that may be given several times, once for each host."""
CERTIFICATE_CHECKS: Final = ("none", "optional", "required")
REDIS_PARAMETERS: Final = (
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers"),
)
"""Parameters of a URL of Redis that redis-py, Celery's results and its broker all understand."""
TRUE_OR_FALSE: Final = ("true", "false")
RABBITMQ_PARAMETERS: Final = ("heartbeat", "login_method")
ESCAPES: Final = "in the user and the password write @ as %40, / as %2F, # as %23, ? as %3F"
_DOTTED_NUMBERS: Final = re.compile(r"[0-9.]+")
_NUMBER_IN_PATH: Final = re.compile(r"/?|/[0-9]+")
_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy's URL and credentials; without a username there is no login."""

    url: str
    username: str | None
    password: SecretStr

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Split a proxy's URL into a URL without credentials, and the credentials."""
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        username = None if parts.username is None else unquote(parts.username)
        return cls(bare, username, SecretStr(unquote(parts.password or "")))


def _require_url(url: str, *schemes: str) -> SplitResult:
    """Parse a URL and check its scheme and host.

    Raises:
        ValueError: it has another scheme, no host, or a #; the message shows nothing of it.
    """
    _require_no_fragment(url)
    parts = _split_or_none(url)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        starts = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must be a URL with a host that starts with {starts}")
    return parts


def _require_no_fragment(url: str) -> None:
    """Refuse a #, also one with nothing behind it: what follows would not be used as it is meant.

    Raises:
        ValueError: there is one.
    """
    if "#" in url:
        raise ValueError("must hold no #: write it as %23")


def require_http_url(url: str) -> str:
    """Check a URL of HTTP, and return it.

    Raises:
        ValueError: it is no such URL; the message shows nothing of it.
    """
    _require_url(url, "http", "https")
    return url


def require_plain_url(url: str) -> str:
    """Check a URL of HTTP that is shown publicly, so must hold no secrets; return it.

    Raises:
        ValueError: it is no such URL, or holds credentials, a query or a fragment.
    """
    parts = _require_url(url, "https", "http")
    if "@" in parts.netloc or "?" in url:
        raise ValueError("must be a URL without credentials, query and fragment")
    return url


def require_database_url(url: str) -> str:
    """Check that a URL names a database and where its server listens; return it.

    Raises:
        ValueError: it does not; the message shows nothing of it.
    """
    _require_no_fragment(url)
    parts = _split_or_none(url)
    has_name = parts is not None and parts.scheme == DATABASE_SCHEME and len(parts.path) > 1
    if parts is None or not has_name or not (parts.hostname or "host=" in parts.query):
        raise ValueError(
            f"must look like {DATABASE_SCHEME}://user:password@host:port/name; {ESCAPES}"
        )
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise ValueError(f"has an @, a / or a ? too many: {ESCAPES}")
    query = _require_known_parameters(parts, DATABASE_PARAMETERS, repeatable=HOST_PARAMETERS)
    for name, allowed in DATABASE_PARAMETER_VALUES.items():
        if name in query:
            _require_one_of(name, query[name], allowed)
    if {"ssl", "sslmode"} <= query.keys():
        raise ValueError("ssl and sslmode mean the same: leave one of them out")
    return url


def _require_known_parameters(
    parts: SplitResult, known: Sequence[str], *, repeatable: Sequence[str] = ()
) -> dict[str, str]:
    """Check the names of a URL's parameters, and return the parameters.

    Raises:
        ValueError: one is unknown, is given twice or holds the character NUL; the message shows
            nothing of a password.
    """
    if "@" in parts.query:
        raise ValueError(f"must hold no @ after a ?: {ESCAPES}")
    query = parse_qs(parts.query, keep_blank_values=True)
    for name, values in query.items():
        if name not in known:
            raise ValueError(f"has the unknown parameter {name[:40]}; known are {', '.join(known)}")
        if len(values) > 1 and name not in repeatable:
            raise ValueError(f"{name} must be given once")
        if any("\0" in value for value in values):
            raise ValueError(f"{name} must hold no %00")
    return {name: values[0] for name, values in query.items()}


def _require_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}")


def normalize_broker_url(url: str) -> str:
    """Check a URL of Redis or RabbitMQ, and normalize it as `normalize_redis_url` does.

    Raises:
        ValueError: it is no such URL, or its parameters are invalid.
    """
    parts = _require_url(url, "redis", "rediss", "amqp", "amqps")
    if parts.scheme in {"redis", "rediss"}:
        return normalize_redis_url(url)
    query = _require_known_parameters(parts, RABBITMQ_PARAMETERS)
    if not query.get("heartbeat", "0").isdecimal():
        raise ValueError("heartbeat must be a number of seconds")
    return url


def normalize_redis_url(url: str) -> str:
    """Check a URL of Redis, and add what both Celery and redis-py need.

    Celery requires `ssl_cert_reqs` in every rediss:// URL. By default certificates are checked.

    Raises:
        ValueError: it is no such URL, or its database or its parameters are invalid.
    """
    parts = _require_url(url, "redis", "rediss")
    if not _NUMBER_IN_PATH.fullmatch(parts.path):
        raise ValueError("must name the database by its number, as in redis://host:port/0")
    query = _require_known_parameters(parts, REDIS_PARAMETERS)
    if parts.scheme != "rediss":
        if query:
            raise ValueError("parameters of TLS need rediss://")
        return url
    check = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    _require_one_of("ssl_cert_reqs", check, CERTIFICATE_CHECKS)
    _require_one_of("ssl_check_hostname", query.get("ssl_check_hostname", "true"), TRUE_OR_FALSE)
    if "ssl_keyfile" in query and "ssl_certfile" not in query:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    return parts._replace(query=urlencode({**query, "ssl_cert_reqs": check})).geturl()


def describe_database_url(url: str) -> str:
    """Describe the host, port, user and database of a URL, without its password."""
    parts = urlsplit(url)
    hosts = [parts.hostname] if parts.hostname else parse_qs(parts.query).get("host", ["?"])
    port = parts.port or DATABASE_PORT
    places = [f"socket in {host}" if host.startswith("/") else f"host {host}" for host in hosts]
    user, name = unquote(parts.username or "") or "-", unquote(parts.path[1:])
    return f"{', '.join(places)}, port {port}, user {user}, database {name}"


def describe_redis_url(url: str) -> str:
    """Describe the host and port of a URL of Redis, without its password."""
    parts = urlsplit(url)
    return f"host {parts.hostname}, port {parts.port or REDIS_PORT}"


def require_host(host: str) -> str:
    """Check that a text is an IP address or a host name (RFC 1123), and return it.

    Raises:
        ValueError: it is neither.
    """
    is_name = _HOST_NAME.fullmatch(host) and not _DOTTED_NUMBERS.fullmatch(host)
    with suppress(ValueError):
        if not is_name:
            ip_address(host)
        return host
    raise ValueError("must be an IP address or a host name")


def require_origin(origin: str) -> None:
    """Check that a text is an origin as browsers send it (RFC 6454), or `*` for any.

    Raises:
        ValueError: it is neither; an origin has no path, not even a slash at its end.
    """
    parts = _split_or_none(origin)
    is_origin = (
        parts is not None
        and parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and origin == f"{parts.scheme}://{parts.netloc}"
    )
    if origin != "*" and not is_origin:
        raise ValueError(
            f"{mask_credentials(origin)!r} is no origin: write https://example.com, without "
            "a path, or * for any"
        )


def mask_credentials(url: str) -> str:
    """Mask the user and password of a URL, which may be malformed."""
    return re.sub("//.*@", "//***@", url)


def _split_or_none(url: str) -> SplitResult | None:
    """Split a URL; return None if it is malformed, as the exception would quote a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts
