"""Deribit's JSON-RPC envelope: an HTTP answer in, a result or the right error out.

Codes and their meaning: the RPC error table of docs.deribit.com/articles/errors; which of them pass
by themselves was compared with what other clients retry.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from types import MappingProxyType
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
    from app.clients.transport import HttpAnswer

MAX_QUOTE_CHARACTERS: Final = 120
MAX_WAIT_SECONDS: Final = 86_400
LATEST_STAMP_US: Final = 2**63 - 1
MAX_CODE: Final = 10**9
INVALID_PARAMS: Final = -32602

ERRORS_BY_CODE: Final[Mapping[int, type[ExchangeError]]] = MappingProxyType(
    {
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
)
"""What a code means under any HTTP status; the status decides for other codes."""

ERRORS_BY_STATUS: Final[Mapping[int, type[ExchangeError]]] = MappingProxyType(
    {
        408: ExchangeUnavailable,
        425: ExchangeUnavailable,
        429: ExchangeRateLimited,
    }
)
"""Statuses below 500 that pass by themselves."""


class Envelope(NamedTuple):
    """A successful answer; `observed_us` is the exchange's clock when it left (usOut)."""

    result: Any  # whatever the method answers
    observed_us: int | None
    testnet: bool | None


def parse_envelope(answer: "HttpAnswer") -> Envelope:
    """Read an HTTP answer of any status; numbers with a point become exact decimals.

    Raises:
        ExchangeError: it holds an error, or is not the documented JSON.
    """
    try:
        return _parse(answer.status, answer.body)
    except ExchangeError as error:
        if error.retry_after_seconds is None:
            error.retry_after_seconds = _header_seconds(answer.retry_after)
        raise


def _parse(status: int, body: bytes) -> Envelope:
    answer = _read_json(status, body)
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is not None:
        _raise_error(status, error)
    _refuse_status(status)
    if not isinstance(answer, dict) or "result" not in answer:
        raise AnswerMalformed(f"neither result nor error in {_quote(body)}")
    return Envelope(answer["result"], _stamp(answer), _flag(answer))


def _read_json(status: int, body: bytes) -> object:
    try:
        return _JSON.decode(body.decode())
    # ValueError: also text that is no UTF-8, and integers of thousands of digits;
    # ArithmeticError: an exponent that no decimal can hold
    except (ValueError, ArithmeticError, RecursionError):
        _refuse_status(status)
        raise AnswerMalformed(f"no JSON under HTTP {status}: {_quote(body)}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's inventions, not JSON


_JSON: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def _refuse_status(status: int) -> None:
    if status >= HTTPStatus.BAD_REQUEST:
        raise _error_of_status(status)(f"HTTP {status}")


def _error_of_status(status: int) -> type[ExchangeError]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ExchangeUnavailable
    return ERRORS_BY_STATUS.get(status, RequestRejected)


def _raise_error(status: int, error: object) -> NoReturn:
    members = error if isinstance(error, dict) else {}
    code = _integer(members.get("code"))
    if code is None or abs(code) > MAX_CODE:
        _refuse_status(status)
        raise AnswerMalformed("an error without a code")
    data = members.get("data")
    reason = data if isinstance(data, dict) else {}
    words = (str(code), _words(members.get("message")), _words(reason.get("reason")))
    failure = _error_class(status, code, reason.get("param"))
    raise failure(" ".join(filter(None, words)), retry_after_seconds=_sane(reason.get("wait")))


def _error_class(status: int, code: int, param: object) -> type[ExchangeError]:
    if code == INVALID_PARAMS and param == "index_name":
        return UnknownIndex
    return ERRORS_BY_CODE.get(code) or _error_of_status(status)


def _header_seconds(text: str | None) -> float | None:
    """Read Retry-After where it gives seconds; a date would need a clock to be compared with."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return _sane(Decimal(text))


def _sane(wait: object) -> float | None:
    seconds = wait if isinstance(wait, Decimal) else _integer(wait)
    if seconds is None or not 0 < seconds <= MAX_WAIT_SECONDS:
        return None
    return float(seconds)


def _stamp(answer: dict[str, object]) -> int | None:
    stamp = _integer(answer.get("usOut"))
    return stamp if stamp is not None and 0 < stamp <= LATEST_STAMP_US else None


def _flag(answer: dict[str, object]) -> bool | None:
    flag = answer.get("testnet")
    if flag is not None and not isinstance(flag, bool):
        raise AnswerMalformed("testnet is neither true nor false")
    return flag


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(value: object) -> str:
    """Quote the exchange's words on one line of printable characters."""
    text = value[:MAX_QUOTE_CHARACTERS] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)


def _quote(body: bytes) -> str:
    text = body[:MAX_QUOTE_CHARACTERS].decode(errors="replace")
    return repr(text) if text else "an empty body"
