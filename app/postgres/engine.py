"""SQLAlchemy engines, whose URL may hold libpq's TLS parameters (sslmode, sslrootcert, …)."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.errors import SettingsError
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
        tls = {name: str(parsed.query[name]) for name in TLS_PARAMETERS if name in parsed.query}
        arguments = {**connect_args, **_tls_arguments(tls)}
        without_tls = parsed.difference_update_query(TLS_PARAMETERS)
        return create_async_engine(without_tls, connect_args=arguments, **options)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL=(hidden): must look like postgresql+asyncpg://user:password@host:port/name"
        ) from None


def _tls_arguments(tls: Mapping[str, str]) -> dict[str, str]:
    """Return the TLS parameters as a DSN: asyncpg takes all of them only there."""
    if not tls:
        return {}
    parameters = dict(tls)
    if parameters.get("sslrootcert") == SYSTEM_CA:
        parameters["sslrootcert"] = _system_ca_file()
    for name in TLS_FILE_PARAMETERS:
        if name in parameters:
            _require_readable(name, Path(parameters[name]))
    return {"dsn": f"postgresql://?{urlencode(parameters)}"}


def _system_ca_file() -> str:
    candidates = (ssl.get_default_verify_paths().cafile, *SYSTEM_CA_FILES)
    return next((path for path in candidates if path and Path(path).exists()), SYSTEM_CA)


def _require_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(
            f"DATABASE_URL=(hidden): {name}={path} can't be read ({error.strerror})"
        ) from None
