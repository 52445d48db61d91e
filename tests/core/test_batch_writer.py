"""BatchWriter: few writes, and no item waits long for those of others."""

import asyncio
from collections.abc import Sequence

import pytest

from app.core.batch_writer import BatchWriter
from app.core.errors import DatabaseUnavailable


class FakeTable:
    """Stores the batches; an odd number counts as already stored, 13 can't be written."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def write(self, numbers: Sequence[int]) -> list[bool]:
        """Write a batch."""
        if 13 in numbers:
            raise ValueError("13")
        self.batches.append(list(numbers))
        return [number % 2 == 0 for number in numbers]


async def _add_all(writer: BatchWriter[int], *numbers: int) -> list[bool | BaseException]:
    """Let a producer add each number and be removed afterwards."""

    async def add(number: int) -> bool:
        try:
            return await writer.add(number)
        finally:
            writer.remove_producer()

    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        additions = asyncio.gather(*map(add, numbers), return_exceptions=True)
        return await additions


async def test_items_of_all_producers_are_written_at_once() -> None:
    table = FakeTable()
    results = await _add_all(BatchWriter(table.write, producer_count=4), 4, 5, 6, 7)
    assert results == [True, False, True, False]
    assert table.batches == [[4, 5, 6, 7]]


async def test_producer_that_adds_nothing_is_not_waited_for_long() -> None:
    table = FakeTable()
    writer = BatchWriter(table.write, producer_count=3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        assert all(await asyncio.gather(writer.add(2), writer.add(4)))
        assert table.batches == [[2, 4]]
        for _ in range(3):
            writer.remove_producer()


async def test_items_that_are_added_within_the_gathering_time_share_a_batch() -> None:
    table = FakeTable()
    writer = BatchWriter(table.write, producer_count=100)

    async def add(number: int) -> bool:
        await asyncio.sleep(number / 1000)
        return await writer.add(number)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        await asyncio.gather(*map(add, range(0, 40, 2)))
        assert len(table.batches) == 1
        for _ in range(100):
            writer.remove_producer()


async def test_items_without_end_keep_none_of_them_waiting() -> None:
    table = FakeTable()
    writer = BatchWriter(table.write, producer_count=1_000)

    async def add_continuously() -> None:
        async with asyncio.TaskGroup() as adders:
            while not table.batches:
                adders.create_task(writer.add(2))
                await asyncio.sleep(0.01)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        await add_continuously()
        for _ in range(1_000):
            writer.remove_producer()


async def test_item_that_cannot_be_written_does_not_fail_the_others() -> None:
    table = FakeTable()
    results = await _add_all(BatchWriter(table.write, producer_count=3), 2, 13, 4)
    assert (results[0], results[2]) == (True, True)
    assert isinstance(results[1], ValueError)
    assert table.batches == [[2], [4]]


async def test_error_of_the_write_is_raised_to_every_producer() -> None:
    async def write(_: Sequence[int]) -> list[bool]:
        raise DatabaseUnavailable("away")

    results = await _add_all(BatchWriter(write, producer_count=2), 1, 2)
    assert all(isinstance(one, DatabaseUnavailable) for one in results)


@pytest.mark.parametrize("producers", [0, 2])
async def test_run_ends_when_all_producers_are_removed(producers: int) -> None:
    table = FakeTable()
    writer = BatchWriter(table.write, producers)
    for _ in range(producers):
        writer.remove_producer()
    async with asyncio.timeout(5):
        await writer.run()
    assert table.batches == []
