"""The tasks that repair the recorded prices, on schedule and on request."""

from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import structlog
from celery import Task
from celery.exceptions import CeleryError, Ignore
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.celery_app import celery, run_async
from app.core.errors import AppError, BrokerUnavailable, RepairFailed
from app.domain.prices import TimeRange
from app.domain.repairs import QueuedRepair, RepairRequest
from app.worker.schedule import REPAIR_TASK

if TYPE_CHECKING:
    from app.runtime import Runtime

log = structlog.get_logger(__name__)


@celery.task(name=REPAIR_TASK, throws=(AppError,))  # type: ignore[untyped-decorator]
def repair() -> None:
    """Repair the last hours, for a short time."""
    try:
        run_async(lambda runtime: runtime.repair.run_scheduled())
    finally:
        _send_serve_if_queued()


@celery.task(name="app.tasks.repairs.backfill", bind=True, throws=(AppError,))  # type: ignore[untyped-decorator]
def enqueue_backfill(  # noqa: PLR0913  # the message's arguments
    self: Task,
    exchange: str | None,
    ticker: str | None,
    start: int | None,
    end: int | None,
    *,
    force: bool,
) -> NoReturn:
    """Queue a requested repair; its state stays STARTED until its last slice stores the result."""
    request = RepairRequest(exchange, ticker, TimeRange(start, end), force)
    repair = QueuedRepair(self.request.id, request)
    run_async(lambda runtime: runtime.repair_queue.add(repair))
    _send_serve_if_queued()
    raise Ignore


@celery.task(name="app.tasks.repairs.serve", throws=(AppError,))  # type: ignore[untyped-decorator]
def serve() -> None:
    """Run one slice of the requested repairs, and send the message for the next slice.

    Between two slices, a worker with a single process runs the collections that are due.
    """
    run_async(lambda runtime: runtime.repair_queue.clear_message_pending())
    if not run_async(lambda runtime: runtime.repair.run_queue_slice()):
        return  # another repair is running, and sends the message at its end
    try:
        _store_results()
    finally:
        _send_serve_if_queued()


def _store_results() -> None:
    """Store the results of ended repairs in Celery's backend; one failed if any ticker did."""
    repairs: list[QueuedRepair] = run_async(lambda runtime: runtime.repair_queue.all())
    results = {repair.id: asdict(repair.result) for repair in repairs if repair.result}
    for task_id, result in results.items():
        if result["failed"]:
            celery.backend.mark_as_failure(task_id, RepairFailed(result))
        else:
            celery.backend.store_result(task_id, result, "SUCCESS")
    run_async(lambda runtime: runtime.repair_queue.remove(results))


def _send_serve_if_queued() -> None:
    """Send the message for the next slice, if repairs are queued and none is on its way."""
    try:
        if run_async(_mark_pending_if_queued):
            serve.apply_async(ignore_result=True, retry=False)
    except (BrokerUnavailable, CeleryError, OperationalError, RedisError, OSError) as error:
        log.warning("repair_not_sent", detail=type(error).__name__)  # beat's next one retries


async def _mark_pending_if_queued(runtime: "Runtime") -> bool:
    queue = runtime.repair_queue
    return bool(await queue.all()) and await queue.mark_message_pending()
