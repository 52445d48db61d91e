"""What beat and workers report in Redis, on its clock: heartbeats, failures, times of answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.core.errors import AppError, BrokerUnavailable
from app.domain.health import Failure, ProcessReports, failure_lasts_seconds
from app.domain.prices import TickerKey
from app.redis.client import map_redis_errors
from app.redis.summary_checks import SUMMARY_CHECKS_KEY, parse_summary_checks

WRITE_TIMEOUT_SECONDS = 1.0
HEARTBEAT_RETENTION_SECONDS = 600
"""A silent process is listed for so long, as long as another one of its role sends heartbeats."""
FAILURES_KEY = "prices:failures"
ANSWERS_KEY = "prices:answers"
"""How many milliseconds each exchange took to answer in the last tick that asked it."""
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


class TickReports:
    """Stores which tickers can't be collected and since when, and how fast exchanges answer.

    A process has one. While Redis does not answer, nothing is recorded.
    """

    def __init__(self, redis: "Redis", interval_seconds: int) -> None:
        self._redis = redis
        self._lasts_ms = round(failure_lasts_seconds(interval_seconds) * MILLISECONDS)

    async def record_failures(
        self,
        failed: Mapping[TickerKey, AppError],
        stored: Collection[TickerKey] = (),
        failing_seconds: Mapping[TickerKey, float] | None = None,
    ) -> None:
        """Record failures, and delete those of tickers that were stored.

        `failing_seconds` says for how long each has been failing, if not just now.

        A failure that is recorded again in time keeps its start, whatever its code is now.
        """
        recovered = [str(key) for key in set(stored) - failed.keys()]
        async with _skipped_without_redis():
            if recovered:
                await self._redis.hdel(FAILURES_KEY, *recovered)
            if failed:
                await self._record_failures(failed, failing_seconds or {})

    async def record_answers(self, seconds_by_exchange: Mapping[str, float | None]) -> None:
        """Record how long exchanges took to answer; None deletes the time of one that did not.

        Without another record the times are deleted after as long as failures are.
        """
        if not seconds_by_exchange:
            return
        async with _skipped_without_redis(), self._redis.pipeline(transaction=True) as pipeline:
            for exchange, seconds in seconds_by_exchange.items():
                if seconds is None:
                    pipeline.hdel(ANSWERS_KEY, exchange)
                else:
                    pipeline.hset(ANSWERS_KEY, exchange, round(seconds * MILLISECONDS, 1))
            pipeline.pexpire(ANSWERS_KEY, self._lasts_ms)
            await pipeline.execute()

    async def _record_failures(
        self, failed: Mapping[TickerKey, AppError], failing_seconds: Mapping[TickerKey, float]
    ) -> None:
        # Two steps need no script: one tick at a time collects these tickers, and what reports its
        # blocked writes has ended before the tick itself reports.
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


@asynccontextmanager
async def _skipped_without_redis() -> AsyncIterator[None]:
    """Skip the rest of the block if Redis does not answer in time."""
    with suppress(BrokerUnavailable, TimeoutError), map_redis_errors():
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            yield


async def read_process_reports(redis: "Redis") -> ProcessReports:
    """Read what every process reported; ages are in seconds of Redis's clock.

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
            pipeline.hgetall(ANSWERS_KEY)
            _, (seconds, micros), beats, workers, *reports = await pipeline.execute()
    failures, checks, answers = reports
    now_ms = seconds * MILLISECONDS + micros / MILLISECONDS
    return ProcessReports(
        beats={name: _age_seconds(score, now_ms) for name, score in beats},
        workers={name: _age_seconds(score, now_ms) for name, score in workers},
        failures={name: _parse_failure(text, now_ms) for name, text in failures.items()},
        checked_hours=parse_summary_checks(checks),
        answer_milliseconds={exchange: float(number) for exchange, number in answers.items()},
    )


def _parse_failure(text: str, now_ms: float) -> Failure:
    data = json.loads(text)
    since, last = (_age_seconds(data[name], now_ms) for name in ("since_ms", "noted_ms"))
    return Failure(data["code"], data["detail"], since_seconds=since, last_seconds=last)


def _age_seconds(timestamp_ms: float, now_ms: float) -> float:
    return max(0.0, now_ms - timestamp_ms) / MILLISECONDS


def _heartbeats_key(role: Role) -> str:
    return f"prices:signs:{role}"
