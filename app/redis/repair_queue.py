"""The queue of requested repairs, in Redis: what is asked for, how far each is, who is called."""

import json
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from app.core.errors import AppError
from app.domain.prices import TimeRange
from app.domain.repairs import QueuedRepair, RepairRequest, RepairResult
from app.redis.client import translated

QUEUE: Final = "prices:repairs"
NUMBER: Final = "prices:repairs:number"
CALLED: Final = "prices:repairs:called"
MISSED: Final = "prices:repairs:missed"
KEPT_SECONDS: Final = 86_400
CALL_LASTS_SECONDS: Final = 30
"""A call whose message was lost keeps others from calling for no longer."""

_SAVE = """
-- Keeps how far a repair is, unless it was removed or has ended.
-- KEYS: queue.  ARGV: the repair's id, the repair.
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and cjson.decode(kept).result == cjson.null then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
"""

log = structlog.get_logger(__name__)


class RepairQueue:
    """Keeps requested repairs until they have ended; a process has one.

    Each method raises BrokerUnavailable while Redis does not answer.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._save = redis.register_script(_SAVE)

    async def add(self, repair: QueuedRepair) -> None:
        """Queue a repair; one that is queued already stays as it is."""
        with translated():
            number = await self._redis.incr(NUMBER)
            await self._redis.hsetnx(QUEUE, repair.id, _written(repair, number))
            await self._redis.expire(QUEUE, KEPT_SECONDS)

    async def all(self) -> list[QueuedRepair]:
        """Read every repair, ended or not: the one that was worked on least comes first.

        One that can't be read has ended as broken.
        """
        with translated():
            found = await self._redis.hgetall(QUEUE)
        repairs = [_read_or_break(str(name), str(text)) for name, text in found.items()]
        return sorted(repairs, key=lambda one: (one.seconds, one.number))

    async def save(self, repair: QueuedRepair) -> None:
        """Keep how far a repair is, unless it was removed or has ended: then nothing happens."""
        written = _written(repair, repair.number)
        with translated():
            await self._save(keys=[QUEUE], args=[repair.id, written])

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


def _read_or_break(name: str, text: str) -> QueuedRepair:
    try:
        return _read(name, json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError):
        log.exception("repair_unreadable", repair=name)
        return QueuedRepair(name, RepairRequest()).broken(AppError.code)


def _read(name: str, data: dict[str, Any]) -> QueuedRepair:
    """Read the fields that are known; another version may write more."""
    result = data["result"]
    return QueuedRepair(
        id=name,
        request=_wish(data["request"]),
        number=data["number"],
        since_us=data["since_us"],
        seconds=data["seconds"],
        filled=data["filled"],
        settled=frozenset(data["settled"]),
        trouble_seconds=dict(data["trouble_seconds"]),
        failed=dict(data["failed"]),
        result=None if result is None else _repaired(result),
    )


def _wish(data: dict[str, Any]) -> RepairRequest:
    start, end = data["span"]
    return RepairRequest(data["exchange"], data["ticker"], TimeRange(start, end), data["force"])


def _repaired(data: dict[str, Any]) -> RepairResult:
    return RepairResult(data["filled"], data["unfillable"], data["remaining"], dict(data["failed"]))
