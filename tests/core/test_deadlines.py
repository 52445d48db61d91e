"""Deadlines: one moment for many blocks, and nobody else's cancellation taken for it."""

import asyncio

import pytest

from app.core.deadlines import Deadline, Timeout

GUARD_SECONDS = 5


async def _wait_for_ever(deadline: Deadline) -> None:
    with deadline.guard():
        await asyncio.Event().wait()


async def test_every_block_ends_at_the_moment() -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        with Deadline(0.05) as deadline:
            ends = await asyncio.gather(
                *(_wait_for_ever(deadline) for _ in range(100)), return_exceptions=True
            )
    assert [type(end) for end in ends] == [TimeoutError] * 100


async def test_block_that_was_left_in_time_is_left_alone() -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        with Deadline(0.01) as deadline:
            with deadline.guard():
                pass
            await asyncio.gather(_wait_for_ever(deadline), return_exceptions=True)
            await asyncio.sleep(0)  # would raise
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_block_that_begins_too_late_does_not_begin() -> None:
    async with asyncio.timeout(GUARD_SECONDS):
        with Deadline(0) as deadline:
            await asyncio.gather(_wait_for_ever(deadline), return_exceptions=True)
            with pytest.raises(TimeoutError), deadline.guard():
                pytest.fail("it began")


async def test_cancellation_by_others_stays_one() -> None:
    with Deadline(GUARD_SECONDS) as deadline:
        task = asyncio.create_task(_wait_for_ever(deadline))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancellation_at_the_same_moment_wins() -> None:
    with Deadline(0) as deadline:
        task = asyncio.create_task(_wait_for_ever(deadline))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_error_of_the_block_goes_its_way() -> None:
    with Deadline(GUARD_SECONDS) as deadline, pytest.raises(LookupError), deadline.guard():
        raise LookupError


async def test_blocks_that_begin_together_end_together() -> None:
    timeout, loop = Timeout(0.1), asyncio.get_running_loop()

    async def last() -> float:
        with pytest.raises(TimeoutError), timeout.guard():
            await asyncio.Event().wait()
        return loop.time()

    began = loop.time()
    async with asyncio.timeout(GUARD_SECONDS):
        ends = await asyncio.gather(*(last() for _ in range(100)))
        assert min(ends) - began >= 0.1
        later = loop.time()
        assert await last() - later >= 0.1, "one that begins later has its own time"
