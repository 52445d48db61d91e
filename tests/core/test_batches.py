"""BatchWriter: few writes, and nobody waits for who does not come."""

import asyncio
from collections.abc import Sequence

import pytest

from app.core.batches import BatchWriter
from app.core.errors import DatabaseUnavailable


class Ledger:
    """What was written, batch by batch; an odd number was there already, 13 can't be written."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def write(self, numbers: Sequence[int]) -> list[bool]:
        """Write a batch."""
        if 13 in numbers:
            raise ValueError("13")
        self.batches.append(list(numbers))
        return [number % 2 == 0 for number in numbers]


async def _bring(batches: BatchWriter[int], *numbers: int) -> list[bool | BaseException]:
    """Let each number be brought by a member, who leaves afterwards."""

    async def bring(number: int) -> bool:
        try:
            return await batches.add(number)
        finally:
            batches.leave()

    async with asyncio.TaskGroup() as group:
        group.create_task(batches.write_all())
        bringing = asyncio.gather(*map(bring, numbers), return_exceptions=True)
        return await bringing


async def test_what_all_members_bring_is_written_at_once() -> None:
    ledger = Ledger()
    found = await _bring(BatchWriter(ledger.write, members=4), 4, 5, 6, 7)
    assert found == [True, False, True, False]
    assert ledger.batches == [[4, 5, 6, 7]]


async def test_member_that_brings_nothing_is_not_waited_for_long() -> None:
    ledger = Ledger()
    batches = BatchWriter(ledger.write, members=3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(batches.write_all())
        assert all(await asyncio.gather(batches.add(2), batches.add(4)))
        assert ledger.batches == [[2, 4]]
        for _ in range(3):
            batches.leave()


async def test_while_others_come_they_are_waited_for() -> None:
    ledger = Ledger()
    batches = BatchWriter(ledger.write, members=100)

    async def bring(number: int) -> bool:
        await asyncio.sleep(number / 1000)
        return await batches.add(number)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(batches.write_all())
        await asyncio.gather(*map(bring, range(0, 40, 2)))
        assert len(ledger.batches) == 1
        for _ in range(100):
            batches.leave()


async def test_coming_without_end_keeps_nobody_waiting_for_ever() -> None:
    ledger = Ledger()
    batches = BatchWriter(ledger.write, members=1_000)

    async def come() -> None:
        async with asyncio.TaskGroup() as comers:
            while not ledger.batches:
                comers.create_task(batches.add(2))
                await asyncio.sleep(0.01)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(batches.write_all())
        await come()
        for _ in range(1_000):
            batches.leave()


async def test_item_that_cannot_be_written_takes_no_other_along() -> None:
    ledger = Ledger()
    found = await _bring(BatchWriter(ledger.write, members=3), 2, 13, 4)
    assert (found[0], found[2]) == (True, True)
    assert isinstance(found[1], ValueError)
    assert ledger.batches == [[2], [4]]


async def test_who_brought_hears_that_nothing_could_be_written() -> None:
    async def write(_: Sequence[int]) -> list[bool]:
        raise DatabaseUnavailable("away")

    found = await _bring(BatchWriter(write, members=2), 1, 2)
    assert all(isinstance(one, DatabaseUnavailable) for one in found)


@pytest.mark.parametrize("members", [0, 2])
async def test_writing_ends_when_all_have_left(members: int) -> None:
    ledger = Ledger()
    batches = BatchWriter(ledger.write, members)
    for _ in range(members):
        batches.leave()
    async with asyncio.timeout(5):
        await batches.write_all()
    assert ledger.batches == []
