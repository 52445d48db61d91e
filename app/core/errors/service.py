"""Errors of the service itself, its servers and its callers."""

from app.core.errors.base import AppError


class SettingsError(AppError):
    """A setting is invalid."""

    code = "settings_invalid"
    title = "A setting makes no sense"


class ServersUnknown(AppError):
    """No database or broker is configured."""

    code = "servers_unknown"
    title = "No server is configured"


class SchemaOutdated(AppError):
    """The database's schema is older than this code."""

    status = 503
    code = "schema_outdated"
    title = "The database's schema is older than the service"


class DatabaseTooOld(AppError):
    """PostgreSQL is older than this service can use."""

    status = 503
    code = "database_too_old"
    title = "The database's server is too old"


class DatabaseUnavailable(AppError):
    """PostgreSQL does not answer."""

    status = 503
    code = "database_unavailable"
    title = "The database is away"
    retryable = True


class DatabaseFull(DatabaseUnavailable):
    """PostgreSQL refuses writes because its disk is full; reads still work."""

    code = "database_full"
    title = "The database's disk is full"


class DatabaseBlocked(DatabaseUnavailable):
    """PostgreSQL keeps a write waiting; reads still work."""

    code = "database_blocked"
    title = "The database keeps a write waiting"


class BrokerUnavailable(AppError):
    """The broker does not answer."""

    status = 503
    code = "broker_unavailable"
    title = "The broker is away"
    retryable = True


class CollectionRunning(AppError):
    """Another tick collects the same tickers."""

    status = 503
    code = "collection_running"
    title = "A collection is under way"
    retryable = True


class CollectionFailed(AppError):
    """A tick failed for some tickers; the one argument is the tick's whole result."""

    code = "collection_failed"
    title = "A collection failed for some tickers"


class RepairRunning(AppError):
    """Another repair is running, and only one may run at a time."""

    status = 503
    code = "repair_running"
    title = "A repair is under way"
    retryable = True


class RepairFailed(AppError):
    """A repair failed for some tickers; the one argument is the repair's whole result."""

    code = "repair_failed"
    title = "A repair failed for some tickers"


class ParametersInvalid(AppError):
    """Request parameters are invalid; `errors` maps each to its message."""

    status = 422
    code = "parameters_invalid"
    title = "A parameter makes no sense"

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))
        self.errors = errors


class ImportRefused(AppError):
    """A file, or one of its lines, can't be imported; nothing of the file is stored."""

    code = "import_refused"
    title = "A file can't be imported"


class TooManyExports(AppError):
    """This process already serves its maximum of concurrent exports."""

    status = 429
    code = "too_many_exports"
    title = "Too many exports at once"
    retryable = True


class TooManyStreams(AppError):
    """This process already serves its maximum of open streams."""

    status = 503
    code = "too_many_streams"
    title = "Too many streams at once"
    retryable = True


class KeyMissing(AppError):
    """A write endpoint was called without a key."""

    status = 401
    code = "key_missing"
    title = "A key is needed"


class KeyRefused(AppError):
    """The key is wrong, or the server has none configured."""

    status = 403
    code = "key_refused"
    title = "The key is refused"


class TickerNotFound(AppError):
    """The ticker is neither recorded nor stored."""

    status = 404
    code = "ticker_not_found"
    title = "No such ticker"


class NoPriceYet(AppError):
    """The ticker is known, but no price of it is stored."""

    status = 404
    code = "no_price_yet"
    title = "No price yet"


class PriceTooOld(AppError):
    """The newest price is older than requested."""

    status = 404
    code = "price_too_old"
    title = "The newest price is too old"


class NoPriceNear(AppError):
    """No price lies within the tolerance before the requested time."""

    status = 404
    code = "no_price_near"
    title = "No price near that moment"


class TaskNotFound(AppError):
    """No task with that id was created within the last day."""

    status = 404
    code = "task_not_found"
    title = "No such task"
