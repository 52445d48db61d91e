"""Requested tasks: started under an id that is kept for a day, and looked up by it.

A requested task is one or more Celery tasks, its shards, whose ids are derived from its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import uuid4

from celery.exceptions import CeleryError
from celery.result import denied_join_result
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.celery_app import celery
from app.core.errors import (
    AppError,
    BrokerUnavailable,
    CollectionFailed,
    RepairFailed,
    TaskNotFound,
)
from app.core.settings import Settings
from app.domain.prices import TickerKey, names_without_common_exchange
from app.domain.repairs import EVERY_TICKER, RepairRequest, RepairResult
from app.redis.client import map_redis_errors
from app.services.collector import CollectionResult
from app.tasks.prices import collect
from app.tasks.repairs import enqueue_backfill
from app.worker.configuration import RESULT_RETENTION_SECONDS
from app.worker.schedule import shard_count

PUBLISH_TIMEOUT_SECONDS = 4.0
REPAIR_KIND = "backfill"
"""The kind of a repair; that of a collection is the number of its shards."""
FAILED_STATES = {"FAILURE", "REVOKED"}
ENDED_STATES = {"SUCCESS", *FAILED_STATES}

TaskState: TypeAlias = Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]

without_result_subscription: Final = denied_join_result
"""Keeps Celery from subscribing to the results of the tasks that this process publishes.

The switch is global to the process. It is not set around each call, because two threads would
reset it for one another.
"""


class TaskStatus(NamedTuple):
    """The state of a task, and its result once every shard has ended."""

    state: TaskState
    result: CollectionResult | RepairResult | None


class _ShardResult(NamedTuple):
    """A shard's Celery state, and its result or exception."""

    state: str
    result: object

    @property
    def fields(self) -> dict[str, Any] | None:
        """The result's fields, also those in the exception of a partial failure; None if none."""
        result = self.result
        if isinstance(result, CollectionFailed | RepairFailed):
            result = result.args[0]
        return result if isinstance(result, dict) else None

    @property
    def error_code(self) -> str:
        """The error code of a shard without a result."""
        return self.result.code if isinstance(self.result, AppError) else AppError.code


async def start_collection(settings: Settings, redis: "Redis") -> str:
    """Start a collection of every ticker now; return its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    shards = shard_count(settings)

    def publish(task_id: str) -> None:
        for shard in range(shards):
            collect.apply_async(
                kwargs={"share": shard, "shares": shards, "wait": True},
                task_id=_shard_task_id(task_id, shard),
                retry=False,
            )

    return await _start_task(redis, str(shards), publish)


async def start_repair(redis: "Redis", request: RepairRequest) -> str:
    """Start a repair; return its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    arguments = {
        "exchange": request.exchange,
        "ticker": request.ticker,
        "start": request.span.start,
        "end": request.span.end,
        "force": request.force,
    }

    def publish(task_id: str) -> None:
        enqueue_backfill.apply_async(
            kwargs=arguments, task_id=_shard_task_id(task_id, 0), retry=False
        )

    return await _start_task(redis, REPAIR_KIND, publish)


async def read_status(settings: Settings, redis: "Redis", task_id: str) -> TaskStatus:
    """Read the status of a task.

    Raises:
        TaskNotFound: no task with this id was started within a day.
        BrokerUnavailable: Redis does not answer.
    """
    with map_redis_errors():
        kind = await redis.get(_kind_key(task_id))
    if not kind:
        raise TaskNotFound(f"no task {task_id} was started within a day")
    is_repair = kind == REPAIR_KIND
    shards = await _read_shards(redis, task_id, 1 if is_repair else int(kind))
    state = _combine_states(shards)
    if state not in ENDED_STATES:
        return TaskStatus(state, None)
    return TaskStatus(
        state, _repair_result(shards[0]) if is_repair else _merge_results(settings, shards)
    )


async def _start_task(redis: "Redis", kind: str, publish: Callable[[str], None]) -> str:
    """Publish a task under a new id, and store the id with its kind for a day; return the id."""
    task_id = str(uuid4())
    with map_redis_errors():
        await redis.set(_kind_key(task_id), kind, ex=RESULT_RETENTION_SECONDS)
    try:  # in a thread, because it blocks, and with a timeout, so that no request hangs
        await asyncio.wait_for(asyncio.to_thread(publish, task_id), PUBLISH_TIMEOUT_SECONDS)
    except (CeleryError, OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from error
    return task_id


async def _read_shards(redis: "Redis", task_id: str, shards: int) -> list[_ShardResult]:
    """Read the results of all shards at once, from the keys of Celery's result backend."""
    ids = [_shard_task_id(task_id, shard) for shard in range(shards)]
    with map_redis_errors():
        payloads = await redis.mget(map(celery.backend.get_key_for_task, ids))
    return [_decode(payload) for payload in payloads]


def _decode(payload: bytes | str | None) -> _ShardResult:
    if payload is None:
        return _ShardResult("PENDING", None)
    meta = celery.backend.decode_result(payload)
    return _ShardResult(meta["status"], meta["result"])


def _combine_states(shards: Sequence[_ShardResult]) -> TaskState:
    """Return the state of a task: it has ended when every shard has, and failed if one has."""
    states = {shard.state for shard in shards}
    if states <= ENDED_STATES:
        return "FAILURE" if states & FAILED_STATES else "SUCCESS"
    return "PENDING" if states == {"PENDING"} else "STARTED"


def _repair_result(shard: _ShardResult) -> RepairResult:
    if shard.fields is None:
        return RepairResult(failed={EVERY_TICKER: shard.error_code})
    return RepairResult(**shard.fields)


def _merge_results(settings: Settings, shards: Sequence[_ShardResult]) -> CollectionResult:
    """Merge the results of a collection's shards; of one that broke, every ticker failed."""
    tickers = list(
        names_without_common_exchange([TickerKey(*index) for index in settings.indices]).values()
    )
    merged = CollectionResult()
    for number, shard in enumerate(shards):
        fields = shard.fields
        if fields is None:
            fields = {"failed": dict.fromkeys(tickers[number :: len(shards)], shard.error_code)}
        result = CollectionResult(**fields)
        merged.stored.extend(result.stored)
        merged.already.extend(result.already)
        merged.failed.update(result.failed)
    return merged


def _shard_task_id(task_id: str, shard: int) -> str:
    return f"{task_id}.{shard}"


def _kind_key(task_id: str) -> str:
    return f"prices:task:{task_id}"
