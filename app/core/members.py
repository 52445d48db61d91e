"""IdleGroup of one piece of work, who stay until none of them is busy."""

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from app.core.event_wait import wait_for_event

T = TypeVar("T")


class IdleGroup(Generic[T]):
    """Knows who of the members is busy; all are when the work begins."""

    def __init__(self, busy: Iterable[T]) -> None:
        self._busy = set(busy)
        self._all_rest = asyncio.Event()

    async def rest(self, member: T, seconds: float) -> bool:
        """Rest for so long and be busy again; False, at once, when all the others rest too."""
        self.leave(member)
        if await wait_for_event(self._all_rest, seconds):
            return False
        self._busy.add(member)
        return True

    def leave(self, member: T) -> None:
        """Be busy no more."""
        self._busy.discard(member)
        if not self._busy:
            self._all_rest.set()
