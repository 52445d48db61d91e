"""The status of beat and workers in Redis, on its clock: heartbeats and failing tickers."""

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
from app.domain.health import Failure, ProcessStatus, failure_lasts_seconds
from app.domain.prices import TickerKey
from app.redis.client import map_redis_errors
from app.redis.summary_checks import SUMMARY_CHECKS_KEY, parse_summary_checks

WRITE_TIMEOUT_SECONDS = 1.0
HEARTBEAT_RETENTION_SECONDS = 600
"""A silent process is listed for so long, as long as another one of its role sends heartbeats."""
FAILURES_KEY = "prices:failures"
WRITE_PROBE_KEY = "prices:write-probe"
MILLISECONDS = 1000

_BEAT = """
-- Records a heartbeat, and removes processes that have been silent for long.
-- KEYS: heartbeats by process.  ARGV: process, retention in ms.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[2])
"""


class Role(StrEnum):
    """The processes that send heartbeats."""

    BEAT = "beat"
    WORKER = "worker"


class Heartbeat:
    """Sends the heartbeats of one process; it has a blocking client, for use in a thread."""

    def __init__(self, url: str, role: Role, name: str) -> None:
        client = BlockingRedis.from_url(
            url,
            socket_timeout=WRITE_TIMEOUT_SECONDS,
            socket_connect_timeout=WRITE_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # the next heartbeat is the retry
        )
        self._script = client.register_script(_BEAT)
        self._key = _heartbeats_key(role)
        self._arguments: list[str | int] = [name, HEARTBEAT_RETENTION_SECONDS * MILLISECONDS]

    def beat(self) -> None:
        """Send one heartbeat; it is skipped while Redis does not answer."""
        with suppress(RedisError, OSError):
            self._script([self._key], self._arguments)


class FailureStore:
    """Stores which tickers can't be collected, and since when; a process has one."""

    def __init__(self, redis: "Redis", interval_seconds: int) -> None:
        self._redis = redis
        self._lasts_ms = round(failure_lasts_seconds(interval_seconds) * MILLISECONDS)

    async def record(
        self,
        failed: Mapping[TickerKey, AppError],
        stored: Collection[TickerKey] = (),
        failing_seconds: Mapping[TickerKey, float] | None = None,
    ) -> None:
        """Record failures, and delete those of tickers that were stored.

        `failing_seconds` says for how long each has been failing, if not just now.

        A failure that is recorded again in time keeps its start, whatever its code is now. While
        Redis does not answer, nothing is recorded.
        """
        recovered = [str(key) for key in set(stored) - failed.keys()]
        with suppress(BrokerUnavailable, TimeoutError), map_redis_errors():
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                if recovered:
                    await self._redis.hdel(FAILURES_KEY, *recovered)
                if failed:
                    await self._record(failed, failing_seconds or {})

    async def _record(
        self, failed: Mapping[TickerKey, AppError], failing_seconds: Mapping[TickerKey, float]
    ) -> None:
        # Two steps need no script: nobody else collects these tickers meanwhile.
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()
            pipeline.hmget(FAILURES_KEY, list(map(str, failed)))
            (seconds, micros), known = await pipeline.execute()
            now_ms = seconds * MILLISECONDS + micros // MILLISECONDS
            for (key, error), text in zip(failed.items(), known, strict=True):
                began_ms = now_ms - round(failing_seconds.get(key, 0) * MILLISECONDS)
                failure = {
                    "code": error.code,
                    "detail": str(error),
                    "since_ms": min(began_ms, self._start_ms(text, now_ms)),
                    "noted_ms": now_ms,
                }
                pipeline.hset(FAILURES_KEY, str(key), json.dumps(failure))
            pipeline.pexpire(FAILURES_KEY, self._lasts_ms)
            await pipeline.execute()

    def _start_ms(self, known: str | None, now_ms: int) -> int:
        failure = json.loads(known) if known else None
        if failure and now_ms - failure["noted_ms"] <= self._lasts_ms:
            return int(failure["since_ms"])
        return now_ms


async def read_heartbeats(redis: "Redis") -> ProcessStatus:
    """Read every heartbeat and failure; their ages are in seconds of Redis's clock.

    Raises:
        BrokerUnavailable: Redis does not answer, or refuses writes: then silence means nothing.
    """
    with map_redis_errors():
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.set(WRITE_PROBE_KEY, 1, px=MILLISECONDS)  # fails if Redis refuses writes
            pipeline.time()
            for role in Role:
                pipeline.zrange(_heartbeats_key(role), 0, -1, withscores=True)
            pipeline.hgetall(FAILURES_KEY)
            pipeline.hgetall(SUMMARY_CHECKS_KEY)
            _, (seconds, micros), beats, workers, failures, checks = await pipeline.execute()
    now_ms = seconds * MILLISECONDS + micros / MILLISECONDS
    return ProcessStatus(
        beats={name: _age_seconds(score, now_ms) for name, score in beats},
        workers={name: _age_seconds(score, now_ms) for name, score in workers},
        failures={name: _parse_failure(text, now_ms) for name, text in failures.items()},
        checked_hours=parse_summary_checks(checks),
    )


def _parse_failure(text: str, now_ms: float) -> Failure:
    data = json.loads(text)
    since, last = (_age_seconds(data[name], now_ms) for name in ("since_ms", "noted_ms"))
    return Failure(data["code"], data["detail"], since_seconds=since, last_seconds=last)


def _age_seconds(timestamp_ms: float, now_ms: float) -> float:
    return max(0.0, now_ms - timestamp_ms) / MILLISECONDS


def _heartbeats_key(role: Role) -> str:
    return f"prices:signs:{role}"
