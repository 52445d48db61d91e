"""What the processes tell of themselves, in Redis and on its clock: signs of life, and failures."""

import asyncio
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import StrEnum

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.core.errors import AppError, BrokerUnavailable
from app.domain.freshness import Failure, ProcessStatus, failure_lasts_seconds
from app.domain.prices import TickerKey
from app.redis.client import map_redis_errors
from app.redis.wrong_hours import WRONG_HOURS, load_checked

GIVE_TIMEOUT_SECONDS = 1.0
FORGOTTEN_AFTER_SECONDS = 600
"""Another one at work, a silent process is named for so long."""
FAILURES = "prices:failures"
WRITE_PROBE = "prices:write-probe"
MILLISECONDS = 1000

_GIVE = """
-- Notes a sign of life, and forgets who has been silent for long.
-- KEYS: signs.  ARGV: name, after how many ms the silent are forgotten.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[2])
"""

_NOTE = """
-- Notes who failed, and forgets who failed no more.  A failure goes on since its first note, as
-- long as one, of whichever code, is noted again in time.
-- KEYS: failures.  ARGV: for how many ms a note lasts, names that mended and failures, as JSON.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
for _, name in ipairs(cjson.decode(ARGV[2])) do
  redis.call('HDEL', KEYS[1], name)
end
for name, failure in pairs(cjson.decode(ARGV[3])) do
  local known = redis.call('HGET', KEYS[1], name)
  local before = known and cjson.decode(known)
  failure.since_ms, failure.noted_ms = now_ms, now_ms
  if before and now_ms - before.noted_ms <= tonumber(ARGV[1]) then
    failure.since_ms = before.since_ms
  end
  redis.call('HSET', KEYS[1], name, cjson.encode(failure))
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class Role(StrEnum):
    """The processes that give signs of life."""

    BEAT = "beat"
    WORKER = "worker"


class Heartbeat:
    """Tells Redis that a process lives; with a client of its own, for threads."""

    def __init__(self, url: str, role: Role, name: str) -> None:
        client = BlockingRedis.from_url(
            url,
            socket_timeout=GIVE_TIMEOUT_SECONDS,
            socket_connect_timeout=GIVE_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the next sign is the next try
        )
        self._script = client.register_script(_GIVE)
        self._key = _signs_key(role)
        self._arguments: list[str | int] = [name, FORGOTTEN_AFTER_SECONDS * MILLISECONDS]

    def give(self) -> None:
        """Give one sign; while Redis is away, none."""
        with suppress(RedisError, OSError):
            self._script([self._key], self._arguments)


class FailureStore:
    """Keeps which tickers can't be collected, and since when; a process has one."""

    def __init__(self, redis: "Redis", interval_seconds: int) -> None:
        self._script = redis.register_script(_NOTE)
        self._lasts_ms = round(failure_lasts_seconds(interval_seconds) * MILLISECONDS)

    async def note(
        self, failed: Mapping[TickerKey, AppError], stored: Collection[TickerKey] = ()
    ) -> None:
        """Note who failed and forget who was stored; while Redis is away, nothing is noted."""
        mended = set(stored) - failed.keys()  # whichever process noted it
        if not failed and not mended:
            return
        told = {str(key): {"code": e.code, "detail": str(e)} for key, e in failed.items()}
        words = [str(key) for key in mended], told
        with suppress(BrokerUnavailable, TimeoutError), map_redis_errors():
            async with asyncio.timeout(GIVE_TIMEOUT_SECONDS):
                await self._script([FAILURES], [str(self._lasts_ms), *map(json.dumps, words)])


async def read_heartbeats(redis: "Redis") -> ProcessStatus:
    """Read every sign of life and every failure, as seconds before Redis's present.

    Raises:
        BrokerUnavailable: Redis does not answer, or refuses writes: then silence means nothing.
    """
    with map_redis_errors():
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.set(WRITE_PROBE, 1, px=MILLISECONDS)  # a Redis that refuses says so here
            pipeline.time()
            for role in Role:
                pipeline.zrange(_signs_key(role), 0, -1, withscores=True)
            pipeline.hgetall(FAILURES)
            pipeline.hgetall(WRONG_HOURS)
            _, (seconds, micros), beats, workers, failures, wrong = await pipeline.execute()
    now_ms = seconds * MILLISECONDS + micros / MILLISECONDS
    return ProcessStatus(
        beats={name: _ago(score, now_ms) for name, score in beats},
        workers={name: _ago(score, now_ms) for name, score in workers},
        failures={name: _failure(json.loads(text), now_ms) for name, text in failures.items()},
        checked_hours=load_checked(wrong),
    )


def _failure(told: Mapping[str, str], now_ms: float) -> Failure:
    since, noted = (_ago(float(told[name]), now_ms) for name in ("since_ms", "noted_ms"))
    return Failure(told["code"], told["detail"], since, noted)


def _ago(moment_ms: float, now_ms: float) -> float:
    return max(0.0, now_ms - moment_ms) / MILLISECONDS


def _signs_key(role: Role) -> str:
    return f"prices:signs:{role}"
