"""SQLAlchemy engines, whose URL may hold libpq's TLS parameters (sslmode, sslrootcert, …)."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.errors import DatabaseUnavailable, SettingsError
from app.core.tls_errors import unreadable_reason
from app.core.urls import TLS_PARAMETERS

TLS_FILE_PARAMETERS: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SYSTEM_CA: Final = "system"
SYSTEM_CA_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def create_engine(url: str, *, connect_args: Mapping[str, Any], **options: Any) -> AsyncEngine:  # noqa: ANN401  # SQLAlchemy's own
    """Create an engine; it connects when it is first used.

    Raises:
        SettingsError: the URL is malformed, or names a file that can't be read.
    """
    try:
        parsed = make_url(url)
        tls = _tls_parameters(parsed)
        arguments = {**connect_args, **_tls_arguments(tls)}
        without_tls = parsed.difference_update_query(TLS_PARAMETERS)
        engine = create_async_engine(without_tls, connect_args=arguments, **options)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL=(hidden): must look like postgresql+asyncpg://user:password@host:port/name"
        ) from None
    event.listen(engine.sync_engine, "do_connect", lambda *_: _require_files(tls))
    return engine


def _tls_parameters(url: URL) -> dict[str, str]:
    """Return the TLS parameters of a URL; for the system's authorities, name their file."""
    tls = {name: str(url.query[name]) for name in TLS_PARAMETERS if name in url.query}
    if tls.get("sslrootcert") == SYSTEM_CA:
        tls["sslrootcert"] = _system_ca_file()
    return tls


def _tls_arguments(tls: Mapping[str, str]) -> dict[str, str]:
    """Return the TLS parameters as a DSN: asyncpg takes all of them only there."""
    if not tls:
        return {}
    for name, path, reason in _unreadable_files(tls):
        raise SettingsError(f"DATABASE_URL=(hidden): {name}={path} can't be read ({reason})")
    return {"dsn": f"postgresql://?{urlencode(tls)}"}


def _system_ca_file() -> str:
    candidates = (ssl.get_default_verify_paths().cafile, *SYSTEM_CA_FILES)
    return next((path for path in candidates if path and Path(path).exists()), SYSTEM_CA)


def _require_files(tls: Mapping[str, str]) -> None:
    """Check before each connection that the files of TLS are still there.

    Raises:
        DatabaseUnavailable: one is not; clients may read the message, so it shows no path.
    """
    for name, _, reason in _unreadable_files(tls):
        raise DatabaseUnavailable(f"the file of {name} can't be read ({reason})")


def _unreadable_files(tls: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Return the parameter, the path and the reason of each file that can't be read."""
    for name in TLS_FILE_PARAMETERS:
        if name in tls and (reason := unreadable_reason(tls[name])):
            yield name, tls[name], reason
