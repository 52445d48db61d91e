"""Trying again: how often, how long, and what is said of it."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.typing import EventDict

from app.core.errors import (
    AppError,
    DatabaseUnavailable,
    ExchangeRateLimited,
    ExchangeUnavailable,
    PriceRefused,
    RequestRejected,
)
from app.core.retry import Retrier


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


class FlakyCall:
    """Fails with each of the given errors in turn, then succeeds."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def always_failing(make: Callable[[], AppError]) -> Callable[[], "asyncio.Future[str]"]:
    """Return a call that always fails."""

    def attempt() -> asyncio.Future[str]:
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        failed.set_exception(make())
        return failed

    return attempt


async def test_success_says_nothing(logs: list[EventDict]) -> None:
    flaky_call = FlakyCall()
    assert await Retrier(60, first_wait_seconds=1, max_wait_seconds=1).call(flaky_call) == "done"
    assert (len(flaky_call.times), logs) == (1, [])


async def test_what_passes_is_tried_until_it_succeeds() -> None:
    flaky_call = FlakyCall(ExchangeUnavailable("a"), DatabaseUnavailable("b"), PriceRefused("c"))
    assert (
        await Retrier(60, first_wait_seconds=0.001, max_wait_seconds=0.01).call(flaky_call)
        == "done"
    )
    assert len(flaky_call.times) == 4


async def test_what_stays_is_raised_at_once() -> None:
    flaky_call = FlakyCall(RequestRejected("no"))
    with pytest.raises(RequestRejected):
        await Retrier(60, first_wait_seconds=1, max_wait_seconds=1).call(flaky_call)
    assert len(flaky_call.times) == 1


@pytest.mark.parametrize("error", [ValueError("defect"), asyncio.CancelledError(), TimeoutError()])
async def test_what_has_no_name_is_not_tried_again(
    error: BaseException, logs: list[EventDict]
) -> None:
    flaky_call = FlakyCall(error)
    with pytest.raises(type(error)):
        await Retrier(60, first_wait_seconds=1, max_wait_seconds=1).call(flaky_call)
    assert (len(flaky_call.times), logs) == (1, [])


async def test_each_failure_is_logged_once(logs: list[EventDict]) -> None:
    flaky_call = FlakyCall(ExchangeUnavailable("busy"), RequestRejected("no"))
    with pytest.raises(RequestRejected):
        await Retrier(60, first_wait_seconds=0.001, max_wait_seconds=1).call(
            flaky_call, ticker="btc_usd"
        )
    assert [(log["event"], log["code"], log["detail"], log["ticker"]) for log in logs] == [
        ("attempt_failed", "exchange_unavailable", "busy", "btc_usd"),
        ("attempt_failed", "exchange_request_rejected", "no", "btc_usd"),
    ]
    assert logs[0]["again_in_seconds"] is not None
    assert logs[1]["again_in_seconds"] is None


async def test_last_wait_ends_with_the_deadline(logs: list[EventDict]) -> None:
    retrier = Retrier(0.05, first_wait_seconds=10, max_wait_seconds=10)
    with pytest.raises(ExchangeUnavailable):
        await retrier.call(always_failing(lambda: ExchangeUnavailable("busy")))
    waits = [log["again_in_seconds"] for log in logs]
    assert waits[-1] is None
    assert sum(waits[:-1]) <= 0.051
    assert retrier.remaining_seconds <= 0


async def test_without_time_left_there_is_one_attempt() -> None:
    flaky_call = FlakyCall(ExchangeUnavailable("busy"))
    with pytest.raises(ExchangeUnavailable):
        await Retrier(0, first_wait_seconds=1, max_wait_seconds=1).call(flaky_call)
    assert len(flaky_call.times) == 1


async def test_one_deadline_holds_for_every_use() -> None:
    retrier = Retrier(0.02, first_wait_seconds=10, max_wait_seconds=10)
    for _ in range(2):
        with pytest.raises(ExchangeUnavailable):
            await retrier.call(always_failing(lambda: ExchangeUnavailable("busy")))
    flaky_call = FlakyCall(ExchangeUnavailable("busy"))
    with pytest.raises(ExchangeUnavailable):
        await retrier.call(flaky_call)
    assert len(flaky_call.times) == 1


async def test_waits_double_up_to_the_longest(logs: list[EventDict]) -> None:
    failures = [ExchangeUnavailable(str(number)) for number in range(6)]
    await Retrier(60, first_wait_seconds=0.004, max_wait_seconds=0.016).call(FlakyCall(*failures))
    waits = [log["again_in_seconds"] for log in logs]
    for wait, longest in zip(waits, [0.004, 0.008, 0.016, 0.016, 0.016, 0.016], strict=True):
        assert longest / 2 - 0.001 <= wait <= longest + 0.001


async def test_wait_that_is_asked_for_is_kept(logs: list[EventDict]) -> None:
    limited = ExchangeRateLimited("slow down", retry_after_seconds=0.05)
    flaky_call = FlakyCall(limited)
    await Retrier(60, first_wait_seconds=0.001, max_wait_seconds=0.001).call(flaky_call)
    assert logs[0]["again_in_seconds"] == 0.05
    assert flaky_call.times[1] - flaky_call.times[0] >= 0.05


async def test_wait_beyond_the_deadline_is_not_begun(logs: list[EventDict]) -> None:
    limited = ExchangeRateLimited("slow down", retry_after_seconds=120)
    flaky_call = FlakyCall(limited)
    with pytest.raises(ExchangeRateLimited):
        await Retrier(60, first_wait_seconds=0.001, max_wait_seconds=0.001).call(flaky_call)
    assert (len(flaky_call.times), logs[0]["again_in_seconds"]) == (1, None)


async def test_short_wait_that_is_asked_for_does_not_shorten_ours(logs: list[EventDict]) -> None:
    limited = ExchangeRateLimited("slow down", retry_after_seconds=0.001)
    await Retrier(60, first_wait_seconds=0.02, max_wait_seconds=0.02).call(FlakyCall(limited))
    assert logs[0]["again_in_seconds"] >= 0.01
