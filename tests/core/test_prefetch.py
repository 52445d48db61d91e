"""Working ahead: one step, never two, and nothing left behind."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from app.core.prefetch import prefetch


def _count_until(stop: int, produced: list[int]) -> Callable[[], Awaitable[int | None]]:
    async def step() -> int | None:
        await asyncio.sleep(0)
        produced.append(len(produced))
        return produced[-1] if len(produced) <= stop else None

    return step


async def test_everything_comes_in_order() -> None:
    assert [number async for number in prefetch(_count_until(5, []))] == [0, 1, 2, 3, 4]


async def test_next_step_is_made_while_one_is_used_and_no_further_one() -> None:
    produced: list[int] = []
    async with aclosing(prefetch(_count_until(100, produced))) as numbers:
        assert await anext(numbers) == 0
        await asyncio.sleep(0.02)
        assert produced == [0, 1]


async def test_failure_comes_after_what_was_made_before_it() -> None:
    async def step() -> int | None:
        produced.append(1)
        if len(produced) == 2:
            raise ValueError("broken")
        return 1

    produced: list[int] = []
    steps = prefetch(step)
    assert await anext(steps) == 1
    with pytest.raises(ValueError, match="broken"):
        await anext(steps)
    assert len(produced) == 2


async def test_end_before_time_ends_the_step_that_is_under_way() -> None:
    ended = asyncio.Event()

    async def step() -> int | None:
        if not started.is_set():
            started.set()
            return 1
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return None

    started = asyncio.Event()
    steps = prefetch(step)
    await anext(steps)
    await asyncio.sleep(0)
    await steps.aclose()
    assert ended.is_set()
