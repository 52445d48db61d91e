"""Collections that someone asked for: started as tasks, followed as one."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

from celery.exceptions import CeleryError
from celery.result import AsyncResult
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How far a collection is; its outcome once every part has ended."""

    state: str
    outcome: Outcome | None


async def start(settings: Settings, redis: "Redis") -> str:
    """Start a collection of every ticker now; give its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    task_id = str(uuid4())
    shares = shares_of(settings)
    with translated():
        await redis.set(_key(task_id), shares, ex=RESULTS_KEPT_SECONDS)
    await _off_loop(lambda: _publish(task_id, shares))
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
    parts = await _off_loop(lambda: [_read(task_id, share) for share in range(shares)])
    state = _joint_state([state for state, _ in parts])
    if state not in ("SUCCESS", "FAILURE"):
        return TaskStatus(state, None)
    tickers = [ticker for _, ticker in settings.indices]
    outcomes = [_outcome(result, tickers[share::shares]) for share, (_, result) in enumerate(parts)]
    return TaskStatus(state, _merge(outcomes))


def _publish(task_id: str, shares: int) -> None:
    for share in range(shares):
        collect.apply_async(
            kwargs={"share": share, "shares": shares, "wait": True},
            task_id=_part_id(task_id, share),
            retry=False,
        )


def _read(task_id: str, share: int) -> tuple[str, object]:
    result = AsyncResult(_part_id(task_id, share), app=celery)
    meta = result.backend.get_task_meta(result.id)
    return meta["status"], meta["result"]


def _joint_state(states: Sequence[str]) -> str:
    if all(state in ("SUCCESS", "FAILURE") for state in states):
        return "FAILURE" if "FAILURE" in states else "SUCCESS"
    return "PENDING" if set(states) == {"PENDING"} else "STARTED"


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


async def _off_loop(work: Callable[[], T]) -> T:
    """Do Celery's blocking work in a thread, within a deadline, so that no request hangs."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(work), BROKER_DEADLINE_SECONDS)
    except (CeleryError, OperationalError, RedisError, OSError) as error:
        raise BrokerUnavailable(f"the broker does not answer ({type(error).__name__})") from error


def _key(task_id: str) -> str:
    return f"prices:task:{task_id}"


def _part_id(task_id: str, share: int) -> str:
    return f"{task_id}.{share}"
