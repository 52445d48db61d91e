"""The routes that start work and tell how far it is."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path

from app.api.deps import RuntimeDep, require_key
from app.api.errors import problems
from app.api.schemas import CollectionOut, TaskOut, TaskStatusOut
from app.core.errors import (
    BrokerUnavailable,
    KeyMissing,
    KeyRefused,
    ParametersInvalid,
    TaskNotFound,
)
from app.tasks import collections

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=problems(BrokerUnavailable))


@router.post(
    "/fetch-prices",
    summary="Collect now",
    status_code=202,
    dependencies=[Depends(require_key)],
    responses=problems(KeyMissing, KeyRefused),
)
async def fetch_prices(runtime: RuntimeDep) -> TaskOut:
    """Start a collection of every ticker now; a slot that has its price keeps it."""
    task_id = await collections.start(runtime.settings, runtime.redis)
    return TaskOut(task_id=task_id, status_url=f"/api/v1/tasks/{task_id}")


@router.get("/fetch-prices", include_in_schema=False)
async def refuse_to_read_fetch_prices() -> None:
    """Keep a GET from being taken for the question about a task of that name."""
    raise HTTPException(status_code=405, headers={"Allow": "POST"})


@router.get(
    "/{task_id}",
    summary="How far a task is",
    responses=problems(TaskNotFound, ParametersInvalid),
)
async def task_status(
    runtime: RuntimeDep,
    task_id: Annotated[str, Path(description="What a POST answered as `task_id`.", max_length=64)],
) -> TaskStatusOut:
    """How far a task is; ids are kept for a day."""
    status = await collections.look(runtime.settings, runtime.redis, task_id)
    result = CollectionOut(**asdict(status.outcome)) if status.outcome else None
    return TaskStatusOut(task_id=task_id, state=status.state, result=result)
