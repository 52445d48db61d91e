"""Who rests is woken while others are busy, and let go when nobody is."""

import asyncio

from app.core.members import IdleGroup


async def test_member_that_rests_is_busy_again_while_another_is() -> None:
    members = IdleGroup("ab")
    async with asyncio.timeout(5):
        assert await members.rest("a", 0.01)
        assert await members.rest("b", 0.01)


async def test_all_who_rest_are_let_go_when_the_last_busy_one_leaves() -> None:
    members = IdleGroup("abc")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        resting = [group.create_task(members.rest(name, 60)) for name in "ab"]
        await asyncio.sleep(0)
        members.leave("c")
    assert [task.result() for task in resting] == [False, False]
    assert not await members.rest("c", 60)
