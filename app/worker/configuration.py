"""Celery's configuration, each choice with its reason."""

from typing import Any

from app.core.server_urls import broker_url, redis_url
from app.core.settings import Settings
from app.worker.schedule import beat_schedule, shard_count

RESULT_RETENTION_SECONDS = 86_400
TASKS_PER_CHILD = 10_000
KILOBYTES_PER_CHILD = 262_144
"""Among them some 90,000 that it shares with the process that forked it."""
MAX_CHILDREN = 4
GRACE_SECONDS = 30
"""What a tick may take beyond the interval in which it retries."""


def configuration(settings: Settings) -> dict[str, Any]:
    """Give Celery's configuration for these settings."""
    limit = settings.collect_interval_seconds + 2 * settings.http_timeout_seconds + GRACE_SECONDS
    broker = broker_url(settings)
    return {
        "broker_url": broker,
        "result_backend": redis_url(settings),
        "include": ["app.tasks.prices", "app.tasks.repairs"],
        # A tick that a dying worker leaves is delivered again; twice is the same as once.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A worker takes what it works on and leaves the rest to the others.
        "worker_prefetch_multiplier": 1,
        # Recycling keeps a leak from growing for years; the loop and its pool go with the child.
        # It is rare: one that is being recycled may sit on a task for seconds (seen in Celery 5.7).
        "worker_max_tasks_per_child": TASKS_PER_CHILD,
        "worker_max_memory_per_child": KILOBYTES_PER_CHILD,
        # Ticks wait more than they compute, and of a share one works at a time: a child for each,
        # and one more for repairs, and for when another is recycled. A child takes 25 MB.
        "worker_concurrency": min(shard_count(settings) + 1, MAX_CHILDREN),
        # A tick ends by itself with its interval; the limit is for one that hangs.
        "task_time_limit": limit,
        # When the broker comes back, running ticks go on: what they store counts.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A Redis that refuses writes (full, a replica, its disk lost) is waited for, too.
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 3,
        "broker_transport_options": _transport_options(broker, limit),
        "redis_socket_timeout": 5,
        "redis_socket_connect_timeout": 3,
        "redis_retry_on_timeout": True,
        # No message carries `expires`, `eta` or `countdown`: a worker whose clock is ahead would
        # revoke every tick.
        "result_expires": RESULT_RETENTION_SECONDS,
        "task_track_started": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "worker_redirect_stdouts": False,
        "worker_consumer": "app.worker.consumer:ReconnectingConsumer",
        "beat_scheduler": "app.worker.beat:EpochAlignedScheduler",
        "beat_schedule": beat_schedule(settings),
        "heartbeat_file": settings.heartbeat_file,
    }


def _transport_options(broker: str, limit: float) -> dict[str, object]:
    if broker.startswith("amqp"):
        return {}
    # Later than any task's end, so that Redis hands out again only what a lost worker held.
    return {"visibility_timeout": round(2 * limit), "socket_connect_timeout": 3}
