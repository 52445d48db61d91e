"""The tasks that beat sends, and their periods."""

from app.core.settings import Settings
from app.domain.slots import window_seconds
from app.worker.beat import EpochAlignedSchedule

TICKERS_PER_SHARD = 50
REPAIR_TASK = "app.tasks.repairs.repair"


def shard_count(settings: Settings) -> int:
    """Return the number of tasks of one collection; several workers can share them."""
    return -(-len(settings.indices) // TICKERS_PER_SHARD)


def beat_schedule(settings: Settings) -> dict[str, dict[str, object]]:
    """Build Celery's `beat_schedule`."""
    # Four times an interval: one collection waits for the slot to begin, and one that is lost with
    # its worker costs a quarter of the slot. If nothing is due, a collection costs one query.
    period = window_seconds(settings.collect_interval_seconds)
    shards = shard_count(settings)
    schedule = {
        f"collect-{shard}": _entry("app.tasks.prices.collect", period, share=shard, shares=shards)
        for shard in range(shards)
    }
    schedule["check-tickers"] = _entry("app.tasks.prices.check_tickers", 3600)
    schedule["tidy"] = _entry("app.tasks.prices.tidy", 600)
    schedule["check-summaries"] = _entry("app.tasks.prices.check_summaries", 3600)
    # Frequent, so that gaps close soon; most repairs find nothing missing.
    repair_seconds = min(max(settings.collect_interval_seconds, 10), 300)
    schedule["repair"] = _entry(REPAIR_TASK, repair_seconds)
    return schedule


def _entry(task: str, seconds: float, **kwargs: object) -> dict[str, object]:
    return {
        "task": task,
        "schedule": EpochAlignedSchedule(seconds),
        "kwargs": kwargs,
        "options": {"ignore_result": True},
    }
