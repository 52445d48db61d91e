"""Single flight: what many wait for at the same time is done once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Flight(NamedTuple):
    began_at: float
    task: "asyncio.Task[Any]"


class SingleFlight:
    """Shares work that is under way among all who ask for it by the same name."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._flights: dict[Hashable, _Flight] = {}

    async def join(
        self,
        name: Hashable,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        since: float = float("-inf"),
    ) -> T:
        """Wait for work under way that began since a moment, or begin it.

        It goes on when the one who began it is cancelled, for others wait for it too. Its error
        reaches all of them.
        """
        flight = self._flights.get(name)
        if flight is None or flight.task.done() or flight.began_at < since:
            flight = _Flight(self._clock(), asyncio.create_task(work()))
            self._flights[name] = flight
            flight.task.add_done_callback(lambda _: self._remove(name, flight))
        result: T = await asyncio.shield(flight.task)
        return result

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _remove(self, name: Hashable, flight: _Flight) -> None:
        if self._flights.get(name) is flight:
            del self._flights[name]
