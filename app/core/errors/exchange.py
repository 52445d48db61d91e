"""Errors of requests to an exchange."""

from app.core.errors.base import AppError


class ExchangeError(AppError):
    """The exchange could not be reached, or gave no usable answer."""

    status = 502
    code = "exchange_error"
    title = "The exchange gave no usable answer"

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class ExchangeUnreachable(ExchangeError):
    """The connection was refused or reset, or the host name does not resolve."""

    code = "exchange_unreachable"
    title = "The exchange can't be reached"
    retryable = True


class ExchangeTimeout(ExchangeError):
    """The exchange did not answer in time."""

    code = "exchange_timeout"
    title = "The exchange did not answer in time"
    retryable = True


class ExchangeRateLimited(ExchangeError):
    """The exchange refused a request because of its rate limit."""

    code = "exchange_rate_limited"
    title = "The exchange limits our requests"
    retryable = True


class ExchangeMaintenance(ExchangeError):
    """The exchange is down for maintenance, or closed to the public for now."""

    code = "exchange_maintenance"
    title = "The exchange is in maintenance"
    retryable = True


class ExchangeUnavailable(ExchangeError):
    """The exchange has a temporary fault."""

    code = "exchange_unavailable"
    title = "The exchange is not available"
    retryable = True


class AnswerMalformed(ExchangeError):
    """The answer is not the documented JSON."""

    code = "exchange_answer_malformed"
    title = "The exchange's answer is malformed"
    retryable = True


class PriceRefused(ExchangeError):
    """The price is not a finite number above 0 and up to 10^12."""

    code = "exchange_price_refused"
    title = "The exchange's price makes no sense"
    retryable = True


class TimestampRefused(ExchangeError):
    """The answer's timestamp is an hour off the database's clock, or follows a doubtful jump."""

    code = "exchange_stamp_refused"
    title = "The exchange's time makes no sense"
    retryable = True


class UnknownIndex(ExchangeError):
    """The exchange has no index of that name."""

    code = "exchange_unknown_index"
    title = "The exchange has no such index"


class RequestRejected(ExchangeError):
    """The exchange refused the request, and a retry won't help."""

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
    """The proxy refused our credentials."""

    code = "proxy_refused"
    title = "The proxy refused us"
