"""Celery's configuration, each choice with its reason."""

from typing import Any

from app.core.server_urls import broker_url, redis_url
from app.core.settings import Settings
from app.postgres.timeouts import COMMAND_TIMEOUT_SECONDS
from app.worker.schedule import beat_schedule, shard_count

RESULT_RETENTION_SECONDS = 86_400
MAX_TASKS_PER_CHILD = 10_000
MAX_KILOBYTES_PER_CHILD = 262_144
"""This includes about 90,000 that it shares with the process that forked it."""
MAX_CHILDREN = 4
GRACE_SECONDS = 30
"""Added to the longest time that a collection can take."""


def celery_configuration(settings: Settings) -> dict[str, Any]:
    """Build Celery's configuration from the settings."""
    limit = (
        settings.collect_interval_seconds  # it retries for so long
        + 2 * settings.http_timeout_seconds
        + COMMAND_TIMEOUT_SECONDS  # its write may wait for a lock, with a price that is not stored
        + GRACE_SECONDS
    )
    broker = broker_url(settings)
    return {
        "broker_url": broker,
        "result_backend": redis_url(settings),
        "include": ["app.tasks.prices", "app.tasks.repairs"],
        # A collection is idempotent: if its worker dies, it is delivered again.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A worker reserves only what it works on, and leaves the rest to other workers.
        "worker_prefetch_multiplier": 1,
        # Recycling limits leaks of memory. It is rare, because a child that is being recycled may
        # delay a task for seconds (seen in Celery 5.7).
        "worker_max_tasks_per_child": MAX_TASKS_PER_CHILD,
        "worker_max_memory_per_child": MAX_KILOBYTES_PER_CHILD,
        # One child for each shard, because only one collection of a shard runs at a time, and one
        # more for repairs, and for when another one is recycled. A child takes 25 MB.
        "worker_concurrency": min(shard_count(settings) + 1, MAX_CHILDREN),
        # A collection ends earlier, also if a lock delays its write; the limit ends one that hangs.
        "task_time_limit": limit,
        # Running collections continue when the connection is lost: what they store counts.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Wait also for a Redis that refuses writes (full, a replica, its disk lost).
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 3,
        "broker_transport_options": _transport_options(broker, limit),
        "redis_socket_timeout": 5,
        "redis_socket_connect_timeout": 3,
        "redis_retry_on_timeout": True,
        # No message has `expires`, `eta` or `countdown`: a worker whose clock is ahead would revoke
        # every collection.
        "result_expires": RESULT_RETENTION_SECONDS,
        "task_track_started": True,
        "worker_redirect_stdouts": False,
        "worker_consumer": "app.worker.consumer:ConstantBackoffConsumer",
        "beat_scheduler": "app.worker.beat:EpochAlignedScheduler",
        "beat_schedule": beat_schedule(settings),
        "heartbeat_file": settings.heartbeat_file,
    }


def _transport_options(broker: str, limit: float) -> dict[str, object]:
    if broker.startswith("amqp"):
        return {}
    # Longer than any task runs, so that Redis redelivers only the messages of lost workers.
    return {
        "visibility_timeout": round(2 * limit),
        "socket_connect_timeout": 3,
        # Both are for a network that drops packets and says nothing: without a timeout a command
        # waits for ever, and so does a worker whose connection for tasks is dead.
        "socket_timeout": 5,
        "health_check_interval": 5,
    }
