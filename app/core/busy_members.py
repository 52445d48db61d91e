"""A group of tasks that go on only while one of them is busy."""

import asyncio

from app.core.event_wait import wait_for_event


class BusyMembers:
    """Counts the busy members of a group; all of them are busy at first.

    Once all are idle the group's work is over, and none of them becomes busy again.
    """

    def __init__(self, members: int) -> None:
        self._busy = members
        self._all_idle = asyncio.Event()

    async def pause(self, seconds: float) -> bool:
        """Pause for so long, and be busy afterwards; return False once all members are idle."""
        self.leave()
        if await wait_for_event(self._all_idle, seconds):
            return False
        self._busy += 1
        return True

    def leave(self) -> None:
        """End the work of one member."""
        self._busy -= 1
        if self._busy <= 0:
            self._all_idle.set()
