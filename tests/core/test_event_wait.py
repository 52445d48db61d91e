"""Waiting for an event: no longer than need be, and nobody else's cancellation swallowed."""

import asyncio

import pytest

from app.core.event_wait import wait_for_event


async def test_event_that_happens_ends_the_wait() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    async with asyncio.timeout(5):
        assert await wait_for_event(event, 60)


async def test_event_that_does_not_happen_is_not_waited_for_longer() -> None:
    async with asyncio.timeout(5):
        assert not await wait_for_event(asyncio.Event(), 0.01)


async def test_cancellation_ends_it_too() -> None:
    waiting = asyncio.create_task(wait_for_event(asyncio.Event(), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
