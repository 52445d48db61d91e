"""An idle member goes on while another is busy, and ends when none is."""

import asyncio

from app.core.busy_members import BusyMembers


async def test_idle_member_is_busy_again_while_another_is() -> None:
    members = BusyMembers(2)
    async with asyncio.timeout(5):
        assert await members.pause(0.01)
        assert await members.pause(0.01)


async def test_idle_members_end_when_the_last_busy_one_leaves() -> None:
    members = BusyMembers(3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        idle = [tasks.create_task(members.pause(60)) for _ in range(2)]
        await asyncio.sleep(0)
        members.leave()
    assert [task.result() for task in idle] == [False, False]
    assert not await members.pause(60)
