"""URLs in settings: validation, parsing, and display without secrets."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote, urlencode, urlsplit

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
CERTIFICATE_CHECKS: Final = ("none", "optional", "required")
ESCAPES: Final = "in the user and the password write @ as %40, / as %2F, # as %23, ? as %3F"
_DOTTED_NUMBERS: Final = re.compile(r"[0-9.]+")
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
        ValueError: it has another scheme, or no host; the message shows nothing of it.
    """
    parts = _split_or_none(url)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        starts = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must be a URL with a host that starts with {starts}")
    return parts


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
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a URL without credentials, query and fragment")
    return url


def require_database_url(url: str) -> str:
    """Check that a URL names a database and where its server listens; return it.

    Raises:
        ValueError: it does not; the message shows nothing of it.
    """
    parts = _split_or_none(url)
    has_name = parts is not None and parts.scheme == DATABASE_SCHEME and len(parts.path) > 1
    if parts is None or not has_name or not (parts.hostname or "host=" in parts.query):
        raise ValueError(
            f"must look like {DATABASE_SCHEME}://user:password@host:port/name; {ESCAPES}"
        )
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise ValueError(f"has an @, a / or a ? too many: {ESCAPES}")
    _require_parameters(parse_qs(parts.query, keep_blank_values=True))
    return url


def _require_parameters(query: Mapping[str, Sequence[str]]) -> None:
    unknown = [name for name in query if name not in DATABASE_PARAMETERS]
    if unknown:
        known = ", ".join(DATABASE_PARAMETERS)
        raise ValueError(f"has the unknown parameter {unknown[0][:40]}; known are {known}")
    if not set(query.get("sslmode", ())) <= set(SSL_MODES):
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")


def normalize_broker_url(url: str) -> str:
    """Check a URL of Redis or RabbitMQ, and normalize it as `normalize_redis_url` does.

    Raises:
        ValueError: it is no such URL, or its TLS parameters are invalid.
    """
    return normalize_redis_url(url, "amqp", "amqps")


def normalize_redis_url(url: str, *other_schemes: str) -> str:
    """Check a URL of Redis or another broker, and add what both Celery and redis-py need.

    Celery requires `ssl_cert_reqs` in every rediss:// URL. By default certificates are checked.

    Raises:
        ValueError: it is no such URL, or its TLS parameters are invalid.
    """
    parts = _require_url(url, "redis", "rediss", *other_schemes)
    if parts.scheme in other_schemes:
        return url
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "rediss":
        if any(name.startswith("ssl_") for name in query):
            raise ValueError("parameters of TLS need rediss://")
        return url
    check = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if check not in CERTIFICATE_CHECKS:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(CERTIFICATE_CHECKS)}")
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
