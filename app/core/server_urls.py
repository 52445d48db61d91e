"""URLs of the servers, for processes that import no more than they need."""

from dotenv import dotenv_values
from pydantic import SecretStr

from app.core.errors import ServersUnknown
from app.core.settings import SERVERS_FILE, Settings


def database_url(settings: Settings) -> str:
    """Return the database's URL.

    Raises:
        ServersUnknown: none is configured.
    """
    return _require_url(settings.database_url, "database", "DATABASE_URL")


def redis_url(settings: Settings) -> str:
    """Return Redis's URL.

    Raises:
        ServersUnknown: none is configured.
    """
    return _require_url(settings.redis_url, "Redis", "REDIS_URL")


def broker_url(settings: Settings) -> str:
    """Return the broker's URL, which is Redis's unless CELERY_BROKER_URL is set.

    Raises:
        ServersUnknown: neither is configured.
    """
    if settings.celery_broker_url is None:
        return redis_url(settings)
    return settings.celery_broker_url.get_secret_value()


def is_database_embedded(settings: Settings) -> bool:
    """Return whether the database is the one that `make run` keeps in DATA_DIR."""
    written = dotenv_values(settings.data_dir / SERVERS_FILE).get("DATABASE_URL")
    return written is not None and written == database_url(settings)


def _require_url(url: SecretStr | None, server: str, setting: str) -> str:
    if url is None:
        raise ServersUnknown(
            f"no {server} is known: start the embedded one with `make run`, or set {setting} "
            "(beside `make demo`: DATA_DIR=.data/demo)"
        )
    return url.get_secret_value()
