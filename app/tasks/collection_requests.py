"""Requested collections: one Celery task per shard of the tickers, and their merged results."""

from collections.abc import Sequence

from redis.asyncio import Redis

from app.core.settings import Settings
from app.domain.prices import TickerKey, short_names
from app.services.collector import CollectionResult
from app.tasks.prices import collect
from app.tasks.task_results import ShardResult, shard_task_id, start_task
from app.worker.schedule import shard_count


async def start_collection(settings: Settings, redis: "Redis") -> str:
    """Start a collection of every ticker now; return its id, which is kept for a day.

    Raises:
        BrokerUnavailable: the broker or Redis does not answer.
    """
    shards = shard_count(settings)
    return await start_task(redis, str(shards), lambda task_id: _publish(task_id, shards))


def merge_results(settings: Settings, shards: Sequence[ShardResult]) -> CollectionResult:
    """Merge the results of a collection's shards; of one that broke, every ticker failed."""
    tickers = list(short_names([TickerKey(*index) for index in settings.indices]).values())
    merged = CollectionResult()
    for number, shard in enumerate(shards):
        result = _parse_result(shard, tickers[number :: len(shards)])
        merged.stored.extend(result.stored)
        merged.already.extend(result.already)
        merged.failed.update(result.failed)
    return merged


def _publish(task_id: str, shards: int) -> None:
    for shard in range(shards):
        collect.apply_async(
            kwargs={"share": shard, "shares": shards, "wait": True},
            task_id=shard_task_id(task_id, shard),
            retry=False,
        )


def _parse_result(shard: ShardResult, tickers: Sequence[str]) -> CollectionResult:
    if shard.fields is None:
        return CollectionResult(failed=dict.fromkeys(tickers, shard.error_code))
    return CollectionResult(**shard.fields)
