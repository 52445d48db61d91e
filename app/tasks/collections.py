"""Collections that someone asked for: started as tasks, followed as one."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import uuid4

from celery.exceptions import CeleryError
from celery.result import denied_join_result
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.celery_app import RESULTS_KEPT_SECONDS, celery, shares_of
from app.core.errors import AppError, BrokerUnavailable, CollectionFailed, TaskNotFound
from app.core.settings import Settings
from app.db.redis import translated
from app.services.collector import Outcome
from app.tasks.prices import collect

BROKER_DEADLINE_SECONDS = 4.0
FAILED_STATES = {"FAILURE", "REVOKED"}
ENDED_STATES = {"SUCCESS", *FAILED_STATES}

State = Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"]


class Part(NamedTuple):
    """One task of a collection: Celery's word for its state, and its result or exception."""

    state: str
    result: object


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How far a collection is; its outcome once every part has ended."""

    state: State
    outcome: Outcome | None


@contextmanager
def deaf_to_results() -> Iterator[None]:
    """Keep Celery from subscribing to every result of what this process starts.

    The switch is one for the whole process, so it is not thrown around each call: two threads
    would turn it back for one another.
    """
    with denied_join_result():
        yield


async def start(settings: Settings, redis: "Redis") -> str:
    """Start a collection of every ticker now; give its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    task_id = str(uuid4())
    shares = shares_of(settings)
    with translated():
        await redis.set(_key(task_id), shares, ex=RESULTS_KEPT_SECONDS)
    await _in_thread(lambda: _publish(task_id, shares))
    return task_id


async def look(settings: Settings, redis: "Redis", task_id: str) -> TaskStatus:
    """Tell how far a collection is, over all its parts.

    Raises:
        TaskNotFound: no such id was given out within a day.
        BrokerUnavailable: Redis does not answer.
    """
    with translated():
        shares = int(await redis.get(_key(task_id)) or 0)
    if not shares:
        raise TaskNotFound(f"no task {task_id} was started within a day")
    parts = await _read(redis, task_id, shares)
    state = _joint_state({part.state for part in parts})
    if state not in ENDED_STATES:
        return TaskStatus(state, None)
    tickers = [ticker for _, ticker in settings.indices]
    outcomes = [_outcome(part.result, tickers[share::shares]) for share, part in enumerate(parts)]
    return TaskStatus(state, _merge(outcomes))


def _publish(task_id: str, shares: int) -> None:
    for share in range(shares):
        collect.apply_async(
            kwargs={"share": share, "shares": shares, "wait": True},
            task_id=_part_id(task_id, share),
            retry=False,
        )


async def _read(redis: "Redis", task_id: str, shares: int) -> list[Part]:
    """Read every part at once, as Celery's backend keeps it."""
    keys = [celery.backend.get_key_for_task(_part_id(task_id, share)) for share in range(shares)]
    with translated():
        payloads = await redis.mget(keys)
    return [_decode(payload) for payload in payloads]


def _decode(payload: bytes | str | None) -> Part:
    if payload is None:
        return Part("PENDING", None)
    meta = celery.backend.decode_result(payload)
    return Part(meta["status"], meta["result"])


def _joint_state(states: set[str]) -> State:
    if states <= ENDED_STATES:
        return "FAILURE" if states & FAILED_STATES else "SUCCESS"
    return "PENDING" if states == {"PENDING"} else "STARTED"


def _outcome(result: object, tickers: Sequence[str]) -> Outcome:
    """Give a part's outcome; of one that broke, every ticker failed."""
    if isinstance(result, CollectionFailed):
        result = result.args[0]
    if isinstance(result, dict):
        return Outcome(**result)
    code = result.code if isinstance(result, AppError) else AppError.code
    return Outcome(failed=dict.fromkeys(tickers, code))


def _merge(outcomes: Sequence[Outcome]) -> Outcome:
    whole = Outcome()
    for outcome in outcomes:
        whole.stored.extend(outcome.stored)
        whole.already.extend(outcome.already)
        whole.failed.update(outcome.failed)
    return whole


async def _in_thread(publish: Callable[[], None]) -> None:
    """Publish in a thread, for it blocks; within a deadline, so that no request hangs."""
    try:
        await asyncio.wait_for(asyncio.to_thread(publish), BROKER_DEADLINE_SECONDS)
    except (CeleryError, OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from error


def _key(task_id: str) -> str:
    return f"prices:task:{task_id}"


def _part_id(task_id: str, share: int) -> str:
    return f"{task_id}.{share}"
