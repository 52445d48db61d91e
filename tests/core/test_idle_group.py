"""An idle member goes on while another is busy, and ends when none is."""

import asyncio

from app.core.idle_group import IdleGroup


async def test_idle_member_is_busy_again_while_another_is() -> None:
    group = IdleGroup(2)
    async with asyncio.timeout(5):
        assert await group.idle(0.01)
        assert await group.idle(0.01)


async def test_idle_members_end_when_the_last_busy_one_leaves() -> None:
    group = IdleGroup(3)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        idle = [tasks.create_task(group.idle(60)) for _ in range(2)]
        await asyncio.sleep(0)
        group.leave()
    assert [task.result() for task in idle] == [False, False]
    assert not await group.idle(60)
