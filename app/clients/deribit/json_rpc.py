"""Deribit's JSON-RPC envelope: parses an HTTP response to a result or an ExchangeError.

The codes are those of the RPC error table of docs.deribit.com/articles/errors; which of them are
retryable was compared with what other clients retry.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from app.core.errors import (
    AnswerMalformed,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRateLimited,
    ExchangeUnavailable,
    RequestRejected,
    UnknownIndex,
)

if TYPE_CHECKING:
    from app.clients.transport import HttpResponse

MAX_QUOTE_CHARACTERS: Final = 120
MAX_WAIT_SECONDS: Final = 86_400
MAX_TIMESTAMP_US: Final = 2**63 - 1
MAX_ERROR_CODE: Final = 10**9
INVALID_PARAMS: Final = -32602

ERRORS_BY_CODE: Final[Mapping[int, type[ExchangeError]]] = {
    10001: ExchangeUnavailable,  # error: a general failure
    10028: ExchangeRateLimited,  # too_many_requests
    10040: ExchangeUnavailable,  # retry
    10041: ExchangeUnavailable,  # settlement_in_progress, seconds around 08:00 UTC
    10047: ExchangeUnavailable,  # matching_engine_queue_full
    10066: ExchangeRateLimited,  # too_many_concurrent_requests
    11051: ExchangeMaintenance,  # system_maintenance
    11056: ExchangeMaintenance,  # unauthenticated_public_requests_temporarily_disabled
    11094: ExchangeUnavailable,  # internal_server_error
    13025: ExchangeMaintenance,  # method_switched_off_by_admin
    13028: ExchangeUnavailable,  # temporarily_unavailable
    13503: ExchangeMaintenance,  # unavailable
    13888: ExchangeUnavailable,  # timed_out
    10020: RequestRejected,  # invalid_or_unsupported_instrument
    10030: RequestRejected,  # must_be_websocket_request
    10033: RequestRejected,  # not_implemented
    11029: RequestRejected,  # invalid_arguments
    11043: RequestRejected,  # bad_argument
    11044: RequestRejected,  # not_open_order
    11049: RequestRejected,  # bad_arguments
    11050: RequestRejected,  # bad_request
    11052: RequestRejected,  # subscribe_error_unsubscribed
    13004: RequestRejected,  # invalid_credentials
    13018: RequestRejected,  # invalid_content_type
    13020: RequestRejected,  # not_found
    13778: RequestRejected,  # raw_subscriptions_not_available_for_unauthorized
    -32000: RequestRejected,  # Missing params
    -32600: RequestRejected,  # request entity too large
    -32601: RequestRejected,  # Method not found
    INVALID_PARAMS: RequestRejected,
    -32700: RequestRejected,  # Parse error
}
"""The error of a code under any HTTP status; for other codes, the status decides."""

ERRORS_BY_STATUS: Final[Mapping[int, type[ExchangeError]]] = {
    408: ExchangeUnavailable,
    425: ExchangeUnavailable,
    429: ExchangeRateLimited,
}
"""The statuses below 500 that are retryable."""


class Envelope(NamedTuple):
    """A successful response; `observed_us` is the exchange's clock when it was sent (usOut)."""

    result: Any  # depends on the method
    observed_us: int | None
    testnet: bool | None


def parse_envelope(response: "HttpResponse") -> Envelope:
    """Parse an HTTP response of any status; fractions become exact decimals.

    Raises:
        ExchangeError: it holds an error, or is not the documented JSON.
    """
    try:
        return _parse(response.status, response.body)
    except ExchangeError as error:
        if error.retry_after_seconds is None:
            error.retry_after_seconds = _parse_retry_after(response.retry_after)
        raise


def _parse(status: int, body: bytes) -> Envelope:
    answer = _parse_json(status, body)
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is not None:
        _raise_error(status, error)
    _raise_for_status(status)
    if not isinstance(answer, dict) or "result" not in answer:
        raise AnswerMalformed(f"neither result nor error in {_quote(body)}")
    return Envelope(answer["result"], _parse_timestamp_us(answer), _parse_testnet(answer))


def _parse_json(status: int, body: bytes) -> object:
    try:
        return _JSON.decode(body.decode())
    # ValueError: also text that is no UTF-8, and integers of thousands of digits;
    # ArithmeticError: an exponent that no decimal can hold
    except (ValueError, ArithmeticError, RecursionError):
        _raise_for_status(status)
        raise AnswerMalformed(f"no JSON under HTTP {status}: {_quote(body)}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # Python parses NaN and Infinity, which are not JSON


_JSON: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def _raise_for_status(status: int) -> None:
    if status >= HTTPStatus.BAD_REQUEST:
        raise _error_class_for_status(status)(f"HTTP {status}")


def _error_class_for_status(status: int) -> type[ExchangeError]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ExchangeUnavailable
    return ERRORS_BY_STATUS.get(status, RequestRejected)


def _raise_error(status: int, error: object) -> NoReturn:
    members = error if isinstance(error, dict) else {}
    code = _int_or_none(members.get("code"))
    if code is None or abs(code) > MAX_ERROR_CODE:
        _raise_for_status(status)
        raise AnswerMalformed("an error without a code")
    data = members.get("data")
    reason = data if isinstance(data, dict) else {}
    parts = (str(code), _printable(members.get("message")), _printable(reason.get("reason")))
    failure = _error_class(status, code, reason.get("param"))
    wait_seconds = _valid_wait_seconds(reason.get("wait"))
    raise failure(" ".join(filter(None, parts)), retry_after_seconds=wait_seconds)


def _error_class(status: int, code: int, param: object) -> type[ExchangeError]:
    if code == INVALID_PARAMS and param == "index_name":
        return UnknownIndex
    return ERRORS_BY_CODE.get(code) or _error_class_for_status(status)


def _parse_retry_after(text: str | None) -> float | None:
    """Parse a Retry-After header in seconds; one with a date is ignored."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return _valid_wait_seconds(Decimal(text))


def _valid_wait_seconds(wait: object) -> float | None:
    seconds = wait if isinstance(wait, Decimal) else _int_or_none(wait)
    if seconds is None or not 0 < seconds <= MAX_WAIT_SECONDS:
        return None
    return float(seconds)


def _parse_timestamp_us(answer: dict[str, object]) -> int | None:
    timestamp_us = _int_or_none(answer.get("usOut"))
    is_valid = timestamp_us is not None and 0 < timestamp_us <= MAX_TIMESTAMP_US
    return timestamp_us if is_valid else None


def _parse_testnet(answer: dict[str, object]) -> bool | None:
    flag = answer.get("testnet")
    if flag is not None and not isinstance(flag, bool):
        raise AnswerMalformed("testnet is neither true nor false")
    return flag


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _printable(value: object) -> str:
    """Return a text of the exchange, shortened and with printable characters only."""
    text = value[:MAX_QUOTE_CHARACTERS] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)


def _quote(body: bytes) -> str:
    text = body[:MAX_QUOTE_CHARACTERS].decode(errors="replace")
    return repr(text) if text else "an empty body"
