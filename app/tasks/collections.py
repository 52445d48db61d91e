"""Collections that someone asked for: started in parts, joined into one outcome."""

from collections.abc import Sequence

from redis.asyncio import Redis

from app.core.errors import AppError, CollectionFailed
from app.core.settings import Settings
from app.services.collector import CollectionResult
from app.tasks import asked
from app.tasks.asked import Part, part_id
from app.tasks.prices import collect
from app.worker.schedule import shard_count


async def start(settings: Settings, redis: "Redis") -> str:
    """Start a collection of every ticker now; give its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    shares = shard_count(settings)
    return await asked.start(redis, str(shares), lambda task_id: _publish(task_id, shares))


def outcome_of(settings: Settings, parts: Sequence[Part]) -> CollectionResult:
    """Join what the parts of a collection ended with."""
    tickers = [ticker for _, ticker in settings.indices]
    shares = len(parts)
    outcomes = [_outcome(part.result, tickers[share::shares]) for share, part in enumerate(parts)]
    return _merge(outcomes)


def _publish(task_id: str, shares: int) -> None:
    for share in range(shares):
        collect.apply_async(
            kwargs={"share": share, "shares": shares, "wait": True},
            task_id=part_id(task_id, share),
            retry=False,
        )


def _outcome(result: object, tickers: Sequence[str]) -> CollectionResult:
    """Give a part's outcome; of one that broke, every ticker failed."""
    if isinstance(result, CollectionFailed):
        result = result.args[0]
    if isinstance(result, dict):
        return CollectionResult(**result)
    code = result.code if isinstance(result, AppError) else AppError.code
    return CollectionResult(failed=dict.fromkeys(tickers, code))


def _merge(outcomes: Sequence[CollectionResult]) -> CollectionResult:
    whole = CollectionResult()
    for outcome in outcomes:
        whole.stored.extend(outcome.stored)
        whole.already.extend(outcome.already)
        whole.failed.update(outcome.failed)
    return whole
