"""Work in the background goes on, whatever comes."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core import background_loops
from app.core.background_loops import run_repeatedly, run_repeatedly_in_thread
from app.core.metrics import CounterKey, drain
from tests.waiting import until

ERRORS = CounterKey("prices_background_errors", ("test",))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(background_loops, "PAUSE_SECONDS", 0.01)
    drain()
    yield
    drain()


class FlakyWork:
    """Raises each of the given errors in turn, then succeeds."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.successes = 0

    async def __call__(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.successes += 1
        await asyncio.sleep(0)

    def run_in_thread(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.successes += 1
        threading.Event().wait()  # for good: a thread like this ends with its process

    async def has_succeeded(self) -> bool:
        return self.successes > 0


async def _await_cancelled_future() -> None:
    shared: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    shared.cancel()
    await shared


async def test_errors_are_logged_and_counted_and_the_work_goes_on() -> None:
    work = FlakyWork(ValueError("one"), OSError("two"), RuntimeError("three"))
    with capture_logs() as logs:
        running = asyncio.create_task(run_repeatedly("test", work))
        await until(work.has_succeeded)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert [(line["event"], line["work"]) for line in logs] == [
        ("background_work_broke", "test")
    ] * 3
    assert drain()[ERRORS] == 3


async def test_cancellation_of_what_is_awaited_is_an_error_and_not_the_end() -> None:
    work = FlakyWork()

    async def step() -> None:
        if not drain().get(ERRORS):
            await _await_cancelled_future()
        await work()

    running = asyncio.create_task(run_repeatedly("test", step))
    await until(work.has_succeeded)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_work_that_is_done_ends() -> None:
    work = FlakyWork(ValueError())
    await run_repeatedly("test", work, while_=lambda: work.successes < 3)
    assert work.successes == 3


async def test_thread_goes_on_after_an_error() -> None:
    work = FlakyWork(ValueError("one"), OSError("two"))
    with capture_logs() as logs:
        run_repeatedly_in_thread("test", work.run_in_thread)
        await until(work.has_succeeded)
    assert [line["work"] for line in logs] == ["test", "test"]
