"""The tasks that repair the record, by schedule and when someone asks."""

from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import structlog
from celery import Task
from celery.exceptions import CeleryError, Ignore
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.celery_app import celery, run_async
from app.core.errors import AppError, BrokerUnavailable, RepairFailed
from app.domain.prices import TimeRange
from app.domain.repairs import EVERY_TICKER, QueuedRepair, RepairRequest, RepairResult
from app.tasks import asked
from app.tasks.asked import Part, part_id
from app.worker.schedule import REPAIR_TASK

if TYPE_CHECKING:
    from app.runtime import Runtime

KIND = "backfill"

log = structlog.get_logger(__name__)


@celery.task(name=REPAIR_TASK, throws=(AppError,))  # type: ignore[untyped-decorator]
def repair() -> None:
    """Repair the last hours as far as a short time allows."""
    try:
        run_async(lambda runtime: runtime.repair.run_scheduled())
    finally:
        _call_if_requested()


@celery.task(name="app.tasks.repairs.backfill", bind=True, throws=(AppError,))  # type: ignore[untyped-decorator]
def backfill(  # noqa: PLR0913  # they are the message's
    self: Task,
    exchange: str | None,
    ticker: str | None,
    start: int | None,
    end: int | None,
    *,
    force: bool,
) -> NoReturn:
    """Queue a repair that someone asked for; it goes on as started until its last slice."""
    request = RepairRequest(exchange, ticker, TimeRange(start, end), force)
    queued = QueuedRepair(self.request.id, request)
    run_async(lambda runtime: runtime.repair_queue.add(queued))
    _call_if_requested()
    raise Ignore


@celery.task(name="app.tasks.repairs.serve", throws=(AppError,))  # type: ignore[untyped-decorator]
def serve() -> None:
    """Work one slice on what was requested, and call for the next one.

    Slices, with a message between two of them, let ticks in even where one process does it all.
    """
    run_async(lambda runtime: runtime.repair_queue.clear_message_pending())
    if not run_async(lambda runtime: runtime.repair.run_queue_slice()):
        return  # whoever is at work calls when it is done
    try:
        _keep_results()
    finally:
        _call_if_requested()


def _keep_results() -> None:
    """Keep what repairs came to where Celery keeps results; one failed if a ticker of it did."""
    queued: list[QueuedRepair] = run_async(lambda runtime: runtime.repair_queue.all())
    ended = [one for one in queued if one.result]
    for one in ended:
        result = asdict(one.result or RepairResult())
        if result["failed"]:
            celery.backend.mark_as_failure(one.id, RepairFailed(result))
        else:
            celery.backend.store_result(one.id, result, "SUCCESS")
    run_async(lambda runtime: runtime.repair_queue.remove([one.id for one in ended]))


def _call_if_requested() -> None:
    """Send the message that calls a worker to requested repairs, if none is on its way."""
    try:
        if run_async(_must_call):
            serve.apply_async(ignore_result=True, retry=False)
    except (BrokerUnavailable, CeleryError, OperationalError, RedisError, OSError) as error:
        log.warning("repair_not_sent", detail=type(error).__name__)  # beat's next wake sends it


async def _must_call(runtime: "Runtime") -> bool:
    return (
        bool(await runtime.repair_queue.all()) and await runtime.repair_queue.mark_message_pending()
    )


async def start(redis: "Redis", request: RepairRequest) -> str:
    """Start a repair; give its id, which is kept for a day.

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
        backfill.apply_async(kwargs=arguments, task_id=part_id(task_id, 0), retry=False)

    return await asked.start(redis, KIND, publish)


def outcome_of(part: Part) -> RepairResult:
    """Give what a repair ended with."""
    result = part.result
    if isinstance(result, RepairFailed):
        result = result.args[0]
    if isinstance(result, dict):
        return RepairResult(**result)
    code = result.code if isinstance(result, AppError) else AppError.code
    return RepairResult(failed={EVERY_TICKER: code})
