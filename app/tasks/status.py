"""How far a task is that someone asked for, of whichever kind."""

from dataclasses import dataclass

from redis.asyncio import Redis

from app.core.settings import Settings
from app.domain.repairs import RepairResult
from app.services.collector import CollectionResult
from app.tasks import asked, collections, repairs
from app.tasks.asked import ENDED_STATES, Part, State


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """How far a task is; its outcome once every part has ended."""

    state: State
    outcome: CollectionResult | RepairResult | None


async def look(settings: Settings, redis: "Redis", task_id: str) -> TaskStatus:
    """Tell how far a task is, over all its parts.

    Raises:
        TaskNotFound: no such id was given out within a day.
        BrokerUnavailable: Redis does not answer.
    """
    kind = await asked.kind_of(redis, task_id)
    parts = await asked.read(redis, task_id, 1 if kind == repairs.KIND else int(kind))
    state = asked.joint_state(parts)
    if state not in ENDED_STATES:
        return TaskStatus(state, None)
    return TaskStatus(state, _outcome(settings, kind, parts))


def _outcome(settings: Settings, kind: str, parts: list[Part]) -> CollectionResult | RepairResult:
    if kind == repairs.KIND:
        return repairs.outcome_of(parts[0])
    return collections.outcome_of(settings, parts)
