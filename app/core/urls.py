"""URLs in settings: checked, taken apart, and shown without what is secret in them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote, urlencode, urlsplit

from pydantic import SecretStr

DATABASE_SCHEME: Final = "postgresql+asyncpg"
DATABASE_PORT: Final = 5432
REDIS_PORT: Final = 6379
TLS_PARAMETERS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")
"""Of a database's URL, as libpq has them."""
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
    """Where an HTTP proxy listens, and how to log in there; without a username: not at all."""

    url: str
    username: str | None
    password: SecretStr

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Take the credentials out of a proxy's URL."""
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        username = None if parts.username is None else unquote(parts.username)
        return cls(bare, username, SecretStr(unquote(parts.password or "")))

    def with_login(self, username: str, password: SecretStr | None) -> "Proxy":
        """Give the same proxy with other credentials."""
        return replace(self, username=username, password=password or SecretStr(""))


def require_url(url: str, *schemes: str) -> SplitResult:
    """Take a URL apart.

    Raises:
        ValueError: it has none of these schemes, or names no host; the text shows nothing of it.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        starts = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must be a URL with a host that starts with {starts}")
    return parts


def require_plain_url(url: str, *schemes: str) -> None:
    """Check a URL that may be shown to anybody.

    Raises:
        ValueError: it is no such URL, or holds credentials, a query or a fragment.
    """
    parts = require_url(url, *schemes)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a URL without credentials, query and fragment")


def require_database_url(url: str) -> None:
    """Check that a URL names a database and where its server listens.

    Raises:
        ValueError: it does not; the text shows nothing of it.
    """
    parts = _split(url)
    is_right = parts is not None and parts.scheme == DATABASE_SCHEME and len(parts.path) > 1
    if parts is None or not is_right or not (parts.hostname or "host=" in parts.query):
        raise ValueError(
            f"must look like {DATABASE_SCHEME}://user:password@host:port/name; {ESCAPES}"
        )
    if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query:
        raise ValueError(f"has an @, a / or a ? too many: {ESCAPES}")
    _require_parameters(parse_qs(parts.query, keep_blank_values=True))


def _require_parameters(given: Mapping[str, Sequence[str]]) -> None:
    unknown = [name for name in given if name not in DATABASE_PARAMETERS]
    if unknown:
        known = ", ".join(DATABASE_PARAMETERS)
        raise ValueError(f"has the unknown parameter {unknown[0][:40]}; known are {known}")
    if not set(given.get("sslmode", ())) <= set(SSL_MODES):
        raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")


def read_redis_url(url: str, *others: str) -> str:
    """Check a URL of Redis, or of others, and write it as its client and Celery both understand it.

    Celery wants `ssl_cert_reqs` of every rediss:// URL; without one, certificates are checked.

    Raises:
        ValueError: it is no such URL, or its parameters of TLS make no sense.
    """
    parts = require_url(url, "redis", "rediss", *others)
    if parts.scheme in others:
        return url
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "rediss":
        if any(name.startswith("ssl_") for name in query):
            raise ValueError("parameters of TLS need rediss://")
        return url
    checks = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if checks not in CERTIFICATE_CHECKS:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(CERTIFICATE_CHECKS)}")
    return parts._replace(query=urlencode({**query, "ssl_cert_reqs": checks})).geturl()


def place_of_database(url: str) -> str:
    """Tell where a database's URL leads, without its password."""
    parts = urlsplit(url)
    hosts = [parts.hostname] if parts.hostname else parse_qs(parts.query).get("host", ["?"])
    port = parts.port or DATABASE_PORT
    where = [f"socket in {host}" if host.startswith("/") else f"host {host}" for host in hosts]
    user, name = unquote(parts.username or "") or "-", unquote(parts.path[1:])
    return f"{', '.join(where)}, port {port}, user {user}, database {name}"


def place_of_redis(url: str) -> str:
    """Tell where a URL of Redis leads, without its password."""
    parts = urlsplit(url)
    return f"host {parts.hostname}, port {parts.port or REDIS_PORT}"


def require_host(host: str) -> None:
    """Check that a text is an IP address or a host name (RFC 1123).

    Raises:
        ValueError: it is neither.
    """
    if ":" in host or _DOTTED_NUMBERS.fullmatch(host):
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("must be an IP address or a host name") from None
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError("must be an IP address or a host name")


def require_origin(origin: str) -> None:
    """Check that a text is an origin as browsers send it (RFC 6454), or `*` for any.

    Raises:
        ValueError: it is neither; an origin has no path, not even a slash at its end.
    """
    parts = _split(origin)
    is_origin = (
        parts is not None
        and parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and origin == f"{parts.scheme}://{parts.netloc}"
    )
    if origin != "*" and not is_origin:
        raise ValueError(
            f"{without_login(origin)!r} is no origin: write https://example.com, without "
            "a path, or * for any"
        )


def without_login(url: str) -> str:
    """Show a URL, be it malformed, without its user and password."""
    return re.sub("//.*@", "//***@", url)


def _split(url: str) -> SplitResult | None:
    """Split a URL with a sound port; None if it has none: the exception would quote a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts
