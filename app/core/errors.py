"""The error tree: every failure that has a name.

AppError
├── SettingsError                    a setting makes no sense
├── ServersUnknown                   no database or broker is configured
├── SchemaOutdated                   the database's schema is older than the code
├── DatabaseUnavailable              PostgreSQL does not answer
├── BrokerUnavailable                Redis (or RabbitMQ) does not answer
├── CollectionRunning                another tick collects the same tickers
├── CollectionFailed                 a tick could not store every ticker that was due
├── ParametersInvalid                a parameter of a request makes no sense
├── KeyMissing, KeyRefused           a write endpoint was called without a right key
├── TickerNotFound, NoPriceYet, PriceTooOld, NoPriceNear, TaskNotFound
└── ExchangeError                    carries `retryable`
    ├── ExchangeUnreachable          refused, reset, unresolvable
    ├── ExchangeTimeout              no answer in time
    ├── ExchangeRateLimited          too many requests, or too many at once
    ├── ExchangeMaintenance          down for maintenance, or closed to the public for now
    ├── ExchangeUnavailable          a fault on their side that passes
    ├── AnswerMalformed              not the documented JSON
    ├── PriceRefused                 not a finite number above 0 and up to 10^12
    ├── StampRefused                 stamped over an hour away from the database's clock
    ├── UnknownIndex                 no index of that name
    ├── RequestRejected              refused for a reason that asking again won't change
    ├── EnvironmentMismatch          testnet prices from a production URL, or the reverse
    ├── RedirectRefused              a redirect away from https
    └── ProxyRefused                 the proxy wants other credentials
"""

from typing import ClassVar


class AppError(Exception):
    """A failure with a name: an HTTP status, a stable code, and whether trying again may help."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False


class SettingsError(AppError):
    """A setting makes no sense."""

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


class DatabaseUnavailable(AppError):
    """PostgreSQL does not answer."""

    status = 503
    code = "database_unavailable"
    title = "The database is away"
    retryable = True


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
    """A tick could not store every ticker that was due; its one argument is the whole outcome."""

    code = "collection_failed"
    title = "A collection failed for some tickers"


class ParametersInvalid(AppError):
    """A parameter of a request makes no sense; `errors` tells which, by parameter."""

    status = 422
    code = "parameters_invalid"
    title = "A parameter makes no sense"

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))
        self.errors = errors


class KeyMissing(AppError):
    """A write endpoint was called without a key."""

    status = 401
    code = "key_missing"
    title = "A key is needed"


class KeyRefused(AppError):
    """The key is wrong, or no key is set on the server."""

    status = 403
    code = "key_refused"
    title = "The key is refused"


class TickerNotFound(AppError):
    """Nothing is known of the ticker."""

    status = 404
    code = "ticker_not_found"
    title = "No such ticker"


class NoPriceYet(AppError):
    """The ticker is known, and nothing is stored of it."""

    status = 404
    code = "no_price_yet"
    title = "No price yet"


class PriceTooOld(AppError):
    """The newest price is older than asked for."""

    status = 404
    code = "price_too_old"
    title = "The newest price is too old"


class NoPriceNear(AppError):
    """No price lies within the tolerance before the moment."""

    status = 404
    code = "no_price_near"
    title = "No price near that moment"


class TaskNotFound(AppError):
    """No task of that id was given out within a day."""

    status = 404
    code = "task_not_found"
    title = "No such task"


class ExchangeError(AppError):
    """The exchange could not be asked, or gave no usable answer."""

    status = 502
    code = "exchange_error"
    title = "The exchange gave no usable answer"

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class ExchangeUnreachable(ExchangeError):
    """The connection was refused, reset, or the name has no address."""

    code = "exchange_unreachable"
    title = "The exchange can't be reached"
    retryable = True


class ExchangeTimeout(ExchangeError):
    """No answer came in time."""

    code = "exchange_timeout"
    title = "The exchange did not answer in time"
    retryable = True


class ExchangeRateLimited(ExchangeError):
    """Too many requests, or too many at once."""

    code = "exchange_rate_limited"
    title = "The exchange limits our requests"
    retryable = True


class ExchangeMaintenance(ExchangeError):
    """The exchange is down for maintenance, or closed to the public for now."""

    code = "exchange_maintenance"
    title = "The exchange is in maintenance"
    retryable = True


class ExchangeUnavailable(ExchangeError):
    """A fault on the exchange's side that passes."""

    code = "exchange_unavailable"
    title = "The exchange is not available"
    retryable = True


class AnswerMalformed(ExchangeError):
    """The answer is not the documented JSON."""

    code = "exchange_answer_malformed"
    title = "The exchange's answer is malformed"
    retryable = True


class PriceRefused(ExchangeError):
    """The price is no finite number above 0 and up to 10^12."""

    code = "exchange_price_refused"
    title = "The exchange's price makes no sense"
    retryable = True


class StampRefused(ExchangeError):
    """The answer is stamped over an hour away from the database's clock."""

    code = "exchange_stamp_refused"
    title = "The exchange's time makes no sense"
    retryable = True


class UnknownIndex(ExchangeError):
    """The exchange has no index of that name."""

    code = "exchange_unknown_index"
    title = "The exchange has no such index"


class RequestRejected(ExchangeError):
    """Refused for a reason that asking again won't change."""

    code = "exchange_request_rejected"
    title = "The exchange rejected the request"


class EnvironmentMismatch(ExchangeError):
    """Testnet prices came from a production URL, or the reverse."""

    code = "exchange_environment_mismatch"
    title = "Testnet and production are mixed up"


class RedirectRefused(ExchangeError):
    """The exchange redirects away from https, or in circles."""

    code = "exchange_redirect_refused"
    title = "The exchange redirects to where we don't follow"


class ProxyRefused(ExchangeError):
    """The proxy wants other credentials."""

    code = "proxy_refused"
    title = "The proxy refused us"
