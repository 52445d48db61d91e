"""Tasks that someone asked for: their ids, kept for a day, and what Celery knows of their parts."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias
from uuid import uuid4

from celery.exceptions import CeleryError
from celery.result import denied_join_result
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.celery_app import celery
from app.core.errors import BrokerUnavailable, TaskNotFound
from app.redis.client import map_redis_errors
from app.worker.configuration import RESULTS_KEPT_SECONDS

BROKER_DEADLINE_SECONDS = 4.0
FAILED_STATES = {"FAILURE", "REVOKED"}
ENDED_STATES = {"SUCCESS", *FAILED_STATES}

State: TypeAlias = Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]


class Part(NamedTuple):
    """One of an asked task's parts: Celery's word for its state, and its result or exception."""

    state: str
    result: object


@contextmanager
def without_result_subscription() -> Iterator[None]:
    """Keep Celery from subscribing to every result of what this process starts.

    The switch is one for the whole process, so it is not thrown around each call: two threads
    would turn it back for one another.
    """
    with denied_join_result():
        yield


async def start(redis: "Redis", kind: str, publish: Callable[[str], None]) -> str:
    """Keep a new id for a day with the kind of its task, and publish the task under it.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    task_id = str(uuid4())
    with map_redis_errors():
        await redis.set(_key(task_id), kind, ex=RESULTS_KEPT_SECONDS)
    await _in_thread(lambda: publish(task_id))
    return task_id


async def kind_of(redis: "Redis", task_id: str) -> str:
    """Tell of which kind a task is.

    Raises:
        TaskNotFound: no such id was given out within a day.
        BrokerUnavailable: Redis does not answer.
    """
    with map_redis_errors():
        kind = await redis.get(_key(task_id))
    if not kind:
        raise TaskNotFound(f"no task {task_id} was started within a day")
    return str(kind)


async def read(redis: "Redis", task_id: str, parts: int) -> list[Part]:
    """Read every part at once, as Celery's backend keeps it.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    ids = [part_id(task_id, part) for part in range(parts)]
    with map_redis_errors():
        payloads = await redis.mget(map(celery.backend.get_key_for_task, ids))
    return [_decode(payload) for payload in payloads]


def joint_state(parts: list[Part]) -> State:
    """Tell how far a task is as a whole."""
    states = {part.state for part in parts}
    if states <= ENDED_STATES:
        return "FAILURE" if states & FAILED_STATES else "SUCCESS"
    return "PENDING" if states == {"PENDING"} else "STARTED"


def part_id(task_id: str, part: int) -> str:
    """Give the id under which Celery knows a part."""
    return f"{task_id}.{part}"


def _decode(payload: bytes | str | None) -> Part:
    if payload is None:
        return Part("PENDING", None)
    meta = celery.backend.decode_result(payload)
    return Part(meta["status"], meta["result"])


async def _in_thread(publish: Callable[[], None]) -> None:
    """Publish in a thread, for it blocks; within a deadline, so that no request hangs."""
    try:
        await asyncio.wait_for(asyncio.to_thread(publish), BROKER_DEADLINE_SECONDS)
    except (CeleryError, OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from error


def _key(task_id: str) -> str:
    return f"prices:task:{task_id}"
