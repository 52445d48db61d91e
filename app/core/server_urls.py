"""URLs of the servers, for processes that import no more than they need."""

from app.core.errors import ServersUnknown
from app.core.settings import Settings


def database_url(settings: Settings) -> str:
    """Return the database's URL.

    Raises:
        ServersUnknown: none is configured.
    """
    if settings.database_url is None:
        raise ServersUnknown(
            "no database is known: start the embedded one with `make run`, or set DATABASE_URL "
            "(beside `make demo`: DATA_DIR=.data/demo)"
        )
    return settings.database_url.get_secret_value()


def redis_url(settings: Settings) -> str:
    """Return Redis's URL.

    Raises:
        ServersUnknown: none is configured.
    """
    if settings.redis_url is None:
        raise ServersUnknown(
            "no Redis is known: start the embedded one with `make run`, or set REDIS_URL "
            "(beside `make demo`: DATA_DIR=.data/demo)"
        )
    return settings.redis_url.get_secret_value()


def broker_url(settings: Settings) -> str:
    """Return the broker's URL, which is Redis's unless CELERY_BROKER_URL is set.

    Raises:
        ServersUnknown: neither is configured.
    """
    if settings.celery_broker_url is None:
        return redis_url(settings)
    return settings.celery_broker_url.get_secret_value()
