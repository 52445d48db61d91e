"""Requested tasks: their ids, kept for a day, and the results of their shards.

A requested task is one or more Celery tasks, its shards, whose ids are derived from its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias
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
from app.redis.client import map_redis_errors
from app.worker.configuration import RESULT_RETENTION_SECONDS

PUBLISH_TIMEOUT_SECONDS = 4.0
FAILED_STATES = {"FAILURE", "REVOKED"}
ENDED_STATES = {"SUCCESS", *FAILED_STATES}

TaskState: TypeAlias = Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]


class ShardResult(NamedTuple):
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


@contextmanager
def without_result_subscription() -> Iterator[None]:
    """Keep Celery from subscribing to the results of the tasks that this process publishes.

    The switch is global to the process. It is not set around each call, because two threads would
    reset it for one another.
    """
    with denied_join_result():
        yield


async def start_task(redis: "Redis", kind: str, publish: Callable[[str], None]) -> str:
    """Publish a task under a new id, and store the id with its kind for a day; return the id.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    task_id = str(uuid4())
    with map_redis_errors():
        await redis.set(_kind_key(task_id), kind, ex=RESULT_RETENTION_SECONDS)
    await _publish_in_thread(lambda: publish(task_id))
    return task_id


async def read_kind(redis: "Redis", task_id: str) -> str:
    """Read the kind of a task.

    Raises:
        TaskNotFound: no task with this id was started within a day.
        BrokerUnavailable: Redis does not answer.
    """
    with map_redis_errors():
        kind = await redis.get(_kind_key(task_id))
    if not kind:
        raise TaskNotFound(f"no task {task_id} was started within a day")
    return str(kind)


async def read_shards(redis: "Redis", task_id: str, shards: int) -> list[ShardResult]:
    """Read the results of all shards at once, from the keys of Celery's result backend.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    ids = [shard_task_id(task_id, shard) for shard in range(shards)]
    with map_redis_errors():
        payloads = await redis.mget(map(celery.backend.get_key_for_task, ids))
    return [_decode(payload) for payload in payloads]


def combine_states(shards: Sequence[ShardResult]) -> TaskState:
    """Return the state of a task: it has ended when every shard has, and failed if one has."""
    states = {shard.state for shard in shards}
    if states <= ENDED_STATES:
        return "FAILURE" if states & FAILED_STATES else "SUCCESS"
    return "PENDING" if states == {"PENDING"} else "STARTED"


def shard_task_id(task_id: str, shard: int) -> str:
    """Return the id of a shard's Celery task."""
    return f"{task_id}.{shard}"


def _decode(payload: bytes | str | None) -> ShardResult:
    if payload is None:
        return ShardResult("PENDING", None)
    meta = celery.backend.decode_result(payload)
    return ShardResult(meta["status"], meta["result"])


async def _publish_in_thread(publish: Callable[[], None]) -> None:
    """Publish in a thread, because it blocks, and with a timeout, so that no request hangs."""
    try:
        await asyncio.wait_for(asyncio.to_thread(publish), PUBLISH_TIMEOUT_SECONDS)
    except (CeleryError, OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from error


def _kind_key(task_id: str) -> str:
    return f"prices:task:{task_id}"
