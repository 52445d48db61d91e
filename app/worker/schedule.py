"""What beat sends, and when."""

from app.core.settings import Settings
from app.domain.slots import window_seconds
from app.worker.beat import EpochAlignedSchedule

TICKERS_PER_SHARD = 50
REPAIR_TASK = "app.tasks.repairs.repair"


def shard_count(settings: Settings) -> int:
    """Give the number of tasks that a tick is split into, so that several workers share it."""
    return -(-len(settings.indices) // TICKERS_PER_SHARD)


def beat_schedule(settings: Settings) -> dict[str, dict[str, object]]:
    """Give the tasks that beat sends, each with how often."""
    # Four times an interval: one tick waits for the slot to begin, and one that is lost with its
    # worker costs a quarter of the slot. What has its price costs one look into the database.
    pause = window_seconds(settings.collect_interval_seconds)
    shards = shard_count(settings)
    schedule = {
        f"collect-{shard}": _entry("app.tasks.prices.collect", pause, share=shard, shares=shards)
        for shard in range(shards)
    }
    schedule["check-tickers"] = _entry("app.tasks.prices.check_tickers", 3600)
    schedule["tidy"] = _entry("app.tasks.prices.tidy", 600)
    schedule["check-summaries"] = _entry("app.tasks.prices.check_summaries", 3600)
    # Often enough that a gap is whole before anyone looks twice; most wakes find nothing missing.
    repair_pause = min(max(settings.collect_interval_seconds, 10), 300)
    schedule["repair"] = _entry(REPAIR_TASK, repair_pause)
    return schedule


def _entry(task: str, seconds: float, **kwargs: object) -> dict[str, object]:
    return {
        "task": task,
        "schedule": EpochAlignedSchedule(seconds),
        "kwargs": kwargs,
        "options": {"ignore_result": True},
    }
