"""The status of a requested task, of either kind."""

from dataclasses import dataclass

from redis.asyncio import Redis

from app.core.settings import Settings
from app.domain.repairs import RepairResult
from app.services.collector import CollectionResult
from app.tasks.collection_requests import merge_results
from app.tasks.repairs import REPAIR_KIND, parse_result
from app.tasks.task_results import (
    ENDED_STATES,
    TaskState,
    combine_states,
    read_kind,
    read_shards,
)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """The state of a task, and its result once every shard has ended."""

    state: TaskState
    result: CollectionResult | RepairResult | None


async def read_status(settings: Settings, redis: "Redis", task_id: str) -> TaskStatus:
    """Read the status of a task.

    Raises:
        TaskNotFound: no task with this id was started within a day.
        BrokerUnavailable: Redis does not answer.
    """
    kind = await read_kind(redis, task_id)
    is_repair = kind == REPAIR_KIND
    shards = await read_shards(redis, task_id, 1 if is_repair else int(kind))
    state = combine_states(shards)
    if state not in ENDED_STATES:
        return TaskStatus(state, None)
    return TaskStatus(
        state, parse_result(shards[0]) if is_repair else merge_results(settings, shards)
    )
