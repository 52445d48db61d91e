"""Deribit's JSON-RPC envelope: an HTTP answer in, a result or the right error out.

Codes and their meaning: the RPC error table of docs.deribit.com/articles/errors; which of them pass
by themselves was compared with what other clients retry.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NoReturn

from app.core.errors import (
    AnswerMalformed,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRateLimited,
    ExchangeUnavailable,
    RequestRejected,
    UnknownIndex,
)

LONGEST_QUOTE_CHARACTERS = 120

ERRORS_BY_CODE: dict[int, type[ExchangeError]] = {
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
}
"""Codes that pass by themselves; every other one is a rejection."""

ERRORS_BY_STATUS: dict[int, type[ExchangeError]] = {
    408: ExchangeUnavailable,
    425: ExchangeUnavailable,
    429: ExchangeRateLimited,
}
"""Statuses below 500 that pass by themselves, for answers that are not JSON."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A successful answer; `observed_us` is the exchange's clock when it left (usOut)."""

    result: Any  # whatever the method answers
    observed_us: int | None
    testnet: bool | None


def parse_envelope(status: int, body: bytes) -> Envelope:
    """Read an HTTP answer of any status; numbers with a point become exact decimals.

    Raises:
        ExchangeError: it holds an error, or is not the documented JSON.
    """
    answer = _read_json(status, body)
    if not isinstance(answer, dict):
        _refuse_status(status)
        raise AnswerMalformed(f"a JSON object was expected, not {_quote(body)}")
    if "error" in answer:
        _raise_error(status, answer["error"])
    if "result" not in answer:
        _refuse_status(status)
        raise AnswerMalformed(f"neither result nor error in {_quote(body)}")
    _refuse_status(status)
    return Envelope(answer["result"], _stamp(answer), _flag(answer))


def _read_json(status: int, body: bytes) -> object:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # also text that is no UTF-8, and absurdly long integers
        _refuse_status(status)
        raise AnswerMalformed(f"no JSON under HTTP {status}: {_quote(body)}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's inventions, not JSON


def _refuse_status(status: int) -> None:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ExchangeUnavailable(f"HTTP {status}")
    if status >= HTTPStatus.BAD_REQUEST:
        raise ERRORS_BY_STATUS.get(status, RequestRejected)(f"HTTP {status}")


def _raise_error(status: int, error: object) -> NoReturn:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(error, dict) or not isinstance(code, int):
        _refuse_status(status)
        raise AnswerMalformed("an error without a code")
    data = error.get("data")
    reason = data if isinstance(data, dict) else {}
    detail = f"{code} {_words(error.get('message'))} {_words(reason.get('reason'))}".strip()
    if reason.get("param") == "index_name":
        raise UnknownIndex(detail)
    raise _error_class(status, code)(detail)


def _error_class(status: int, code: int) -> type[ExchangeError]:
    if code in ERRORS_BY_CODE:
        return ERRORS_BY_CODE[code]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ExchangeUnavailable
    return ERRORS_BY_STATUS.get(status, RequestRejected)


def _stamp(answer: dict[str, object]) -> int | None:
    stamp = answer.get("usOut")
    return stamp if isinstance(stamp, int) and not isinstance(stamp, bool) else None


def _flag(answer: dict[str, object]) -> bool | None:
    flag = answer.get("testnet")
    return flag if isinstance(flag, bool) else None


def _words(value: object) -> str:
    return value[:LONGEST_QUOTE_CHARACTERS] if isinstance(value, str) else ""


def _quote(body: bytes) -> str:
    text = body[:LONGEST_QUOTE_CHARACTERS].decode(errors="replace")
    return repr(text) if text else "an empty body"
