"""Engines of SQLAlchemy, whose URL may say how to use TLS in the words of libpq."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.errors import SettingsError
from app.core.urls import TLS_PARAMETERS

FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SYSTEMS_OWN: Final = "system"
SYSTEM_AUTHORITIES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def open_engine(url: str, *, connect_args: Mapping[str, Any], **options: Any) -> AsyncEngine:  # noqa: ANN401  # SQLAlchemy's own
    """Make an engine; nothing connects before it is used.

    Raises:
        SettingsError: the URL makes no sense, or names a file that can't be read.
    """
    with _url_understood():
        whole = make_url(url)
        tls = {name: str(whole.query[name]) for name in TLS_PARAMETERS if name in whole.query}
        arguments = {**connect_args, **_driver_arguments(tls)}
        bare = whole.difference_update_query(TLS_PARAMETERS)
        return create_async_engine(bare, connect_args=arguments, **options)


def _driver_arguments(tls: Mapping[str, str]) -> dict[str, str]:
    """Hand these parameters to asyncpg in a URL, the only place where it takes all of them."""
    if not tls:
        return {}
    named = dict(tls)
    if named.get("sslrootcert") == SYSTEMS_OWN:
        named["sslrootcert"] = _system_authorities()
    for name in FILES:
        if name in named:
            _require_readable(name, Path(named[name]))
    return {"dsn": f"postgresql://?{urlencode(named)}"}


def _system_authorities() -> str:
    known = (ssl.get_default_verify_paths().cafile, *SYSTEM_AUTHORITIES)
    return next((path for path in known if path and Path(path).exists()), SYSTEMS_OWN)


def _require_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(
            f"DATABASE_URL=(hidden): {name}={path} can't be read ({error.strerror})"
        ) from None


@contextmanager
def _url_understood() -> Iterator[None]:
    try:
        yield
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL=(hidden): must look like postgresql+asyncpg://user:password@host:port/name"
        ) from None
