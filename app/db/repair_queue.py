"""The queue of requested repairs, in Redis: what is asked for, how far each is, who is called."""

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final

from redis.asyncio import Redis

from app.db.redis import translated
from app.domain.prices import Span
from app.domain.repairs import QueuedRepair, Repaired, Wish

QUEUE: Final = "prices:repairs"
NUMBER: Final = "prices:repairs:number"
CALLED: Final = "prices:repairs:called"
MISSED: Final = "prices:repairs:missed"
KEPT_SECONDS: Final = 86_400
CALL_LASTS_SECONDS: Final = 30
"""A call whose message was lost keeps others from calling for no longer."""


class RepairQueue:
    """Keeps requested repairs until they have ended; a process has one.

    Each method raises BrokerUnavailable while Redis does not answer.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def add(self, repair: QueuedRepair) -> None:
        """Queue a repair; one that is queued already stays as it is."""
        with translated():
            number = await self._redis.incr(NUMBER)
            await self._redis.hsetnx(QUEUE, repair.id, _written(repair, number))
            await self._redis.expire(QUEUE, KEPT_SECONDS)

    async def all(self) -> list[QueuedRepair]:
        """Read every repair, ended or not: the one that was worked on least comes first."""
        with translated():
            found = await self._redis.hgetall(QUEUE)
        repairs = [_read(str(text)) for text in found.values()]
        return sorted(repairs, key=lambda one: (one.seconds, one.number))

    async def save(self, repair: QueuedRepair) -> None:
        """Keep how far a repair is."""
        with translated():
            await self._redis.hset(QUEUE, repair.id, _written(repair, repair.number))

    async def remove(self, ids: Collection[str]) -> None:
        """Remove repairs whose results are kept elsewhere."""
        if ids:
            with translated():
                await self._redis.hdel(QUEUE, *ids)

    async def call(self) -> bool:
        """Tell whether a message must be sent that calls a worker; False if one is on its way."""
        with translated():
            return bool(await self._redis.set(CALLED, "1", nx=True, ex=CALL_LASTS_SECONDS))

    async def answer(self) -> None:
        """Note that a worker came; who calls from now on sends another message."""
        with translated():
            await self._redis.delete(CALLED)

    async def miss_wake(self) -> None:
        """Note that a scheduled repair found another one at work."""
        with translated():
            await self._redis.set(MISSED, "1", ex=KEPT_SECONDS)

    async def take_missed_wake(self) -> bool:
        """Tell once whether a scheduled repair is to be made up for."""
        with translated():
            return bool(await self._redis.getdel(MISSED))


def _written(repair: QueuedRepair, number: int) -> str:
    data = asdict(repair) | {"number": number, "settled": sorted(repair.settled)}
    return json.dumps(data)


def _read(text: str) -> QueuedRepair:
    data: dict[str, Any] = json.loads(text)
    wish = data["wish"]
    result = data["result"] and Repaired(**data["result"])
    return QueuedRepair(
        **data
        | {
            "wish": Wish(**wish | {"span": Span(*wish["span"])}),
            "settled": frozenset(data["settled"]),
            "result": result,
        }
    )
