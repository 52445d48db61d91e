"""The queue of requested repairs, in Redis."""

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Final

import structlog
from pydantic import TypeAdapter
from redis.asyncio import Redis

from app.core.errors import AppError
from app.domain.repairs import QueuedRepair, RepairRequest
from app.redis.client import map_redis_errors

QUEUE_KEY: Final = "prices:repairs"
SEQUENCE_KEY: Final = "prices:repairs:number"
MESSAGE_PENDING_KEY: Final = "prices:repairs:called"
SCHEDULED_MISSED_KEY: Final = "prices:repairs:missed"
RETENTION_SECONDS: Final = 86_400
MESSAGE_PENDING_SECONDS: Final = 30
"""If a message is lost, the next one is sent after this time at the latest."""
_QUEUED_REPAIR: Final = TypeAdapter(QueuedRepair)

_SAVE = """
-- Updates a repair, unless it was removed or has ended.
-- KEYS: queue.  ARGV: the repair's id, the repair as JSON.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored and cjson.decode(stored).result == cjson.null then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
"""

log = structlog.get_logger(__name__)


class RepairQueue:
    """Stores requested repairs until their results are stored elsewhere; a process has one.

    Each method raises BrokerUnavailable while Redis does not answer.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._save_script = redis.register_script(_SAVE)

    async def add(self, repair: QueuedRepair) -> None:
        """Queue a repair; if its id is queued already, nothing changes."""
        with map_redis_errors():
            number = await self._redis.incr(SEQUENCE_KEY)
            await self._redis.hsetnx(QUEUE_KEY, repair.id, _to_json(replace(repair, number=number)))
            await self._redis.expire(QUEUE_KEY, RETENTION_SECONDS)

    async def all(self) -> list[QueuedRepair]:
        """Read every repair, ended or not: the one with the least working time comes first.

        One that can't be parsed is returned as failed.
        """
        with map_redis_errors():
            stored = await self._redis.hgetall(QUEUE_KEY)
        repairs = [_parse_or_fail(str(repair_id), str(text)) for repair_id, text in stored.items()]
        return sorted(repairs, key=lambda repair: (repair.seconds, repair.number))

    async def save(self, repair: QueuedRepair) -> None:
        """Update a repair; one that was removed or has ended stays as it is."""
        with map_redis_errors():
            await self._save_script(keys=[QUEUE_KEY], args=[repair.id, _to_json(repair)])

    async def remove(self, ids: Collection[str]) -> None:
        """Remove repairs whose results are stored elsewhere."""
        if ids:
            with map_redis_errors():
                await self._redis.hdel(QUEUE_KEY, *ids)

    async def mark_message_pending(self) -> bool:
        """Mark that the message which starts a slice is on its way; False if one is already."""
        with map_redis_errors():
            return bool(
                await self._redis.set(MESSAGE_PENDING_KEY, "1", nx=True, ex=MESSAGE_PENDING_SECONDS)
            )

    async def clear_message_pending(self) -> None:
        """Mark that the message arrived, so that the next one may be sent."""
        with map_redis_errors():
            await self._redis.delete(MESSAGE_PENDING_KEY)

    async def mark_scheduled_missed(self) -> None:
        """Mark that a scheduled repair could not run, because another repair was running."""
        with map_redis_errors():
            await self._redis.set(SCHEDULED_MISSED_KEY, "1", ex=RETENTION_SECONDS)

    async def pop_scheduled_missed(self) -> bool:
        """Return whether a scheduled repair was missed, and clear the mark."""
        with map_redis_errors():
            return bool(await self._redis.getdel(SCHEDULED_MISSED_KEY))


# Workers of two versions share the queue during an upgrade, so its JSON keeps its keys, of which
# `wish` is the request; fields that a newer version adds are ignored.
def _to_json(repair: QueuedRepair) -> str:
    fields = _QUEUED_REPAIR.dump_python(repair, mode="json")
    return json.dumps({"wish": fields.pop("request"), **fields})


def _parse_or_fail(repair_id: str, text: str) -> QueuedRepair:
    try:
        fields = json.loads(text)
        # the script that saves compares `result`, so it must be there
        needed = {"id": repair_id, "request": fields["wish"], "result": fields["result"]}
        return _QUEUED_REPAIR.validate_python({**fields, **needed})
    except (ValueError, LookupError, TypeError):
        log.exception("repair_unreadable", repair=repair_id)
        return QueuedRepair(repair_id, RepairRequest()).as_failed(AppError.code)
