"""Every code under every status, and what is no JSON-RPC at all."""

import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.deribit.json_rpc import ERRORS_BY_CODE, parse_envelope
from app.clients.transport import HttpResponse
from app.core.errors import (
    AnswerMalformed,
    AppError,
    ExchangeError,
    ExchangeMaintenance,
    ExchangeRateLimited,
    ExchangeUnavailable,
    RequestRejected,
    UnknownIndex,
)

RETRYABLE_CODES = [
    10001,
    10028,
    10040,
    10041,
    10047,
    10066,
    11051,
    11056,
    11094,
    13025,
    13028,
    13503,
    13888,
]
PERMANENT_CODES = [
    10020,
    10030,
    10033,
    11029,
    11043,
    11044,
    11049,
    11050,
    11052,
    13004,
    13018,
    13020,
    13778,
]
PERMANENT_CODES += [-32700, -32602, -32601, -32600, -32000]
STATUSES = [200, 400, 401, 403, 404, 408, 429, 500, 502, 503]


def parse_error(
    body: bytes | object, status: int = 200, retry_after: str | None = None
) -> ExchangeError:
    """Parse an answer that must be refused, and return the error."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ExchangeError) as caught:
        parse_envelope(HttpResponse(status, raw, retry_after))
    return caught.value


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", RETRYABLE_CODES)
def test_code_that_passes_is_retryable_under_any_status(code: int, status: int) -> None:
    error = parse_error({"error": {"code": code, "message": "word"}}, status)
    assert (error.retryable, str(error)) == (True, f"{code} word")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", PERMANENT_CODES)
def test_code_that_stays_is_rejected_under_any_status(code: int, status: int) -> None:
    error = parse_error({"error": {"code": code, "message": "word"}}, status)
    assert (type(error), error.retryable) == (RequestRejected, False)


def test_every_known_code_is_tested() -> None:
    assert set(ERRORS_BY_CODE) == {*RETRYABLE_CODES, *PERMANENT_CODES}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10028, ExchangeRateLimited),
        (10066, ExchangeRateLimited),
        (11051, ExchangeMaintenance),
        (11056, ExchangeMaintenance),
        (13025, ExchangeMaintenance),
        (13503, ExchangeMaintenance),
        (10040, ExchangeUnavailable),
        (11094, ExchangeUnavailable),
        (13888, ExchangeUnavailable),
    ],
)
def test_code_gets_the_class_of_its_meaning(code: int, kind: type[AppError]) -> None:
    assert type(parse_error({"error": {"code": code}})) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, RequestRejected),
        (400, RequestRejected),
        (429, ExchangeRateLimited),
        (500, ExchangeUnavailable),
    ],
)
def test_unknown_code_follows_the_status(status: int, kind: type[AppError]) -> None:
    assert type(parse_error({"error": {"code": 99999}}, status)) is kind


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b'{"result":', b"[]", b"{}"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, AnswerMalformed),
        (304, AnswerMalformed),
        (403, RequestRejected),
        (408, ExchangeUnavailable),
        (425, ExchangeUnavailable),
        (429, ExchangeRateLimited),
        (500, ExchangeUnavailable),
        (502, ExchangeUnavailable),
        (503, ExchangeUnavailable),
        (524, ExchangeUnavailable),
    ],
)
def test_status_decides_where_no_envelope_came(
    body: bytes, status: int, kind: type[AppError]
) -> None:
    assert type(parse_error(body, status)) is kind


@pytest.mark.parametrize("status", [400, 429, 502])
def test_result_under_a_failing_status_is_no_answer(status: int) -> None:
    assert type(parse_error({"result": 1}, status)) is not AnswerMalformed


def test_error_wins_over_a_result() -> None:
    assert type(parse_error({"result": 1, "error": {"code": 11051}})) is ExchangeMaintenance


def test_null_error_is_none() -> None:
    assert parse_envelope(HttpResponse(200, b'{"error": null, "result": 7}')).result == 7


@pytest.mark.parametrize(
    "error",
    ["text", 7, [], {}, {"code": "10028"}, {"code": True}, {"code": None}, {"code": 10**12}],
)
def test_error_without_a_code_is_malformed(error: object) -> None:
    assert type(parse_error({"error": error})) is AnswerMalformed


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"result": ' + b"[" * 100_000,
        b"\xff\xfe\xfa",
        b'{"result": NaN}',
        b'{"result": -Infinity}',
        b'{"result": 1e9999999999999999999}',
        b'{"result": ' + b"9" * 5_000 + b"}",
    ],
    ids=["nested", "nested result", "no text", "NaN", "-Infinity", "exponent", "5000 digits"],
)
def test_what_is_no_json_is_malformed_and_retryable(body: bytes) -> None:
    error = parse_error(body)
    assert (type(error), error.retryable) == (AnswerMalformed, True)
    assert len(str(error)) < 1_000


def test_unknown_index_is_told_apart_from_other_bad_parameters() -> None:
    data = {"param": "index_name", "reason": "invalid index"}
    assert type(parse_error({"error": {"code": -32602, "data": data}}, 400)) is UnknownIndex
    assert type(parse_error({"error": {"code": -32602, "data": {"param": "range"}}}, 400)) is (
        RequestRejected
    )


def test_passing_error_about_an_index_stays_retryable() -> None:
    error = parse_error({"error": {"code": 10028, "data": {"param": "index_name"}}})
    assert type(error) is ExchangeRateLimited


def test_exchange_words_are_short_and_printable_on_one_line() -> None:
    error = parse_error({"error": {"code": 10001, "message": "a\nb\x1b[31m\ud800" + "c" * 1_000}})
    assert str(error).isprintable()
    assert len(str(error)) < 200
    str(error).encode()


@pytest.mark.parametrize("header", ["7", "007"])
def test_retry_after_header_is_kept(header: str) -> None:
    assert parse_error({"error": {"code": 10028}}, 429, header).retry_after_seconds == 7
    assert parse_error(b"", 503, header).retry_after_seconds == 7


@pytest.mark.parametrize(
    "header", ["", "-1", "0", "soon", "٣", "1e3", "9" * 30, "Fri, 20 Nov 2026 12:00:00 GMT", None]
)
def test_senseless_retry_after_header_is_ignored(header: str | None) -> None:
    assert parse_error(b"", 429, header).retry_after_seconds is None


@pytest.mark.parametrize(("wait", "seconds"), [(3, 3), (0.5, 0.5)])
def test_wait_in_the_error_is_kept_before_the_header(wait: float, seconds: float) -> None:
    body = {"error": {"code": 10028, "data": {"wait": wait}}}
    assert parse_error(body, 429, "60").retry_after_seconds == seconds


@pytest.mark.parametrize("wait", [0, -1, True, "3", None, [], 10**9])
def test_senseless_wait_in_the_error_is_ignored(wait: object) -> None:
    body = {"error": {"code": 10028, "data": {"wait": wait}}}
    assert parse_error(body, 429).retry_after_seconds is None
    assert parse_error(body, 429, "60").retry_after_seconds == 60


@pytest.mark.parametrize("stamp", ["1.5", '"1"', "true", "null", "0", "-5", "9" * 20, "{}"])
def test_senseless_stamp_is_as_good_as_none(stamp: str) -> None:
    body = f'{{"result": 1, "usOut": {stamp}}}'.encode()
    assert parse_envelope(HttpResponse(200, body)).observed_us is None


@pytest.mark.parametrize("flag", ["1", '"true"', "{}"])
def test_testnet_that_is_no_flag_is_malformed(flag: str) -> None:
    assert type(parse_error(f'{{"result": 1, "testnet": {flag}}}'.encode())) is AnswerMalformed


def test_numbers_arrive_exactly() -> None:
    body = b'{"result": [60123.456789, 60123, 6.0123e4, 0.1, 1.10]}'
    numbers = parse_envelope(HttpResponse(200, body)).result
    assert [str(number) for number in numbers] == ["60123.456789", "60123", "60123", "0.1", "1.10"]
    assert numbers[0] == Decimal("60123.456789")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
members = st.sampled_from(["error", "result", "usOut", "testnet", "jsonrpc"])


@given(
    st.binary()
    | json_values.map(json.dumps).map(str.encode)
    | st.dictionaries(members, json_values).map(json.dumps).map(str.encode),
    st.integers(200, 599),
)
def test_whatever_comes_is_an_envelope_or_an_exchange_error(body: bytes, status: int) -> None:
    with suppress(ExchangeError):
        parse_envelope(HttpResponse(status, body, "1"))
