"""The tasks that repair the record, by schedule and when someone asks."""

from dataclasses import asdict

from redis.asyncio import Redis

from app.celery_app import REPAIR_LIMIT_SECONDS, REPAIR_TASK, celery, run_async
from app.core.errors import AppError, RepairFailed
from app.domain.prices import Span
from app.domain.repairs import Repaired, Wish
from app.tasks import asked
from app.tasks.asked import Part, part_id

KIND = "backfill"
EVERY_TICKER = "*"
"""In `failed`: the repair as a whole broke."""


@celery.task(name=REPAIR_TASK, throws=(AppError,))  # type: ignore[untyped-decorator]
def repair() -> None:
    """Repair the last hours as far as a short time allows."""
    run_async(lambda runtime: runtime.repair.wake())


@celery.task(  # type: ignore[untyped-decorator]
    name="app.tasks.repairs.backfill", throws=(AppError,), time_limit=REPAIR_LIMIT_SECONDS
)
def backfill(
    exchange: str | None, ticker: str | None, start: int | None, end: int | None, *, force: bool
) -> dict[str, object]:
    """Repair a span that someone asked for; the task fails if one of the tickers did."""
    wish = Wish(exchange, ticker, Span(start, end), force)
    repaired: Repaired = run_async(lambda runtime: runtime.repair.carry_out(wish))
    if repaired.failed:
        raise RepairFailed(asdict(repaired))
    return asdict(repaired)


async def start(redis: "Redis", wish: Wish) -> str:
    """Start a repair; give its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    arguments = {
        "exchange": wish.exchange,
        "ticker": wish.ticker,
        "start": wish.span.start,
        "end": wish.span.end,
        "force": wish.force,
    }

    def publish(task_id: str) -> None:
        backfill.apply_async(kwargs=arguments, task_id=part_id(task_id, 0), retry=False)

    return await asked.start(redis, KIND, publish)


def outcome_of(part: Part) -> Repaired:
    """Give what a repair ended with."""
    result = part.result
    if isinstance(result, RepairFailed):
        result = result.args[0]
    if isinstance(result, dict):
        return Repaired(**result)
    code = result.code if isinstance(result, AppError) else AppError.code
    return Repaired(failed={EVERY_TICKER: code})
