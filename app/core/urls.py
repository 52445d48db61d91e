"""URLs in settings: checked, taken apart, and shown without what is secret in them."""

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

DATABASE_SCHEME: Final = "postgresql+asyncpg"
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
        raise ValueError(f"must look like {DATABASE_SCHEME}://user:password@host:port/name")


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
