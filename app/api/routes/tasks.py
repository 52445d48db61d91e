"""The routes that start a task and report its status.

The first request that needs Celery imports it; an API without such requests saves 16 MB.
"""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request

from app.api.dependencies import NAME_PATTERN, TICKER_EXAMPLES, RuntimeDep, require_write_key
from app.api.errors import problem_responses
from app.api.schemas import BackfillOut, CollectionOut, TaskOut, TaskStatusOut
from app.api.time_parameters import TimeRangeDep
from app.api.unknown_parameters import refuse_unknown_parameters
from app.core.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    KeyMissing,
    KeyRefused,
    ParametersInvalid,
    TaskNotFound,
    TickerNotFound,
)
from app.domain.repairs import RepairRequest, RepairResult

if TYPE_CHECKING:
    from app.tasks.requested_tasks import TaskStatus


async def load_celery(request: Request) -> None:
    """Import Celery once, in a thread, so that other requests need not wait."""
    if not request.app.state.has_celery:
        await asyncio.to_thread(_import_tasks)
        from app.tasks.requested_tasks import without_result_subscription  # noqa: PLC0415  # Celery

        request.app.state.until_end.enter_context(without_result_subscription())
        request.app.state.has_celery = True


def _import_tasks() -> None:
    try:
        import app.tasks.requested_tasks  # noqa: F401, PLC0415  # Celery
    except SystemExit as error:  # Celery can't be configured: settings changed
        raise BrokerUnavailable(str(error)) from None


KEY_BEFORE_PARAMETERS = [Depends(require_write_key), Depends(refuse_unknown_parameters)]

router = APIRouter(prefix="/tasks", tags=["tasks"], responses=problem_responses(BrokerUnavailable))


@router.post(
    "/fetch-prices",
    summary="Collect now",
    status_code=202,
    dependencies=[*KEY_BEFORE_PARAMETERS, Depends(load_celery)],
    responses=problem_responses(KeyMissing, KeyRefused, ParametersInvalid),
)
async def fetch_prices(runtime: RuntimeDep) -> TaskOut:
    """Start a collection of every ticker now; a slot that has its price keeps it."""
    from app.tasks.requested_tasks import start_collection  # noqa: PLC0415  # Celery

    return _task_started(await start_collection(runtime.settings, runtime.redis))


@router.post(
    "/backfill",
    name="backfill",
    summary="Repair what is missing",
    status_code=202,
    dependencies=[*KEY_BEFORE_PARAMETERS, Depends(load_celery)],
    responses=problem_responses(
        KeyMissing,
        KeyRefused,
        TickerNotFound,
        ParametersInvalid,
        BrokerUnavailable,
        DatabaseUnavailable,
    ),
)
async def backfill(
    runtime: RuntimeDep,
    time_range: TimeRangeDep,
    *,
    ticker: Annotated[
        str | None,
        Query(
            description="The index, without regard to case; all of them if left out.",
            pattern=NAME_PATTERN,
            openapi_examples=TICKER_EXAMPLES,
        ),
    ] = None,
    exchange: Annotated[
        str | None,
        Query(description="The exchange; all of them if left out.", pattern=NAME_PATTERN),
    ] = None,
    force: Annotated[
        bool, Query(description="Ask again for what the exchange could not give.")
    ] = False,
) -> TaskOut:
    """Start the repair of a period, or of everything that was ever recorded.

    It works for two minutes at most; `remaining` in its result is what it left.
    """
    from app.tasks.requested_tasks import start_repair  # noqa: PLC0415  # Celery

    request = RepairRequest(
        exchange and exchange.lower(), ticker and ticker.lower(), time_range, force
    )
    await runtime.repair.require_known_ticker(request)
    return _task_started(await start_repair(runtime.redis, request))


@router.get("/fetch-prices", include_in_schema=False)
@router.get("/backfill", include_in_schema=False)
async def refuse_to_read_a_post() -> None:
    """Answer 405 instead of looking for a task of this name."""
    raise HTTPException(status_code=405, headers={"Allow": "POST"})


@router.get(
    "/{task_id}",
    summary="How far a task is",
    dependencies=[Depends(refuse_unknown_parameters), Depends(load_celery)],
    responses=problem_responses(TaskNotFound, ParametersInvalid),
)
async def task_status(
    runtime: RuntimeDep,
    task_id: Annotated[str, Path(description="What a POST answered as `task_id`.", max_length=64)],
) -> TaskStatusOut:
    """How far a task is; ids are kept for a day."""
    from app.tasks.requested_tasks import read_status  # noqa: PLC0415  # Celery

    status = await read_status(runtime.settings, runtime.redis, task_id)
    return TaskStatusOut(task_id=task_id, state=status.state, result=_result(status))


def _task_started(task_id: str) -> TaskOut:
    return TaskOut(task_id=task_id, status_url=f"/api/v1/tasks/{task_id}")


def _result(status: "TaskStatus") -> CollectionOut | BackfillOut | None:
    if status.result is None:
        return None
    schema = BackfillOut if isinstance(status.result, RepairResult) else CollectionOut
    return schema(**asdict(status.result))
