"""The Celery application: how ticks travel, when beat wakes, what processes do at their ends."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from app import __version__
from app.beat import GridSchedule
from app.core.addresses import broker_url, redis_url
from app.core.endings import exit_message, warn_of_misspelled_settings
from app.core.errors import AppError
from app.core.garbage import collect_seldom
from app.core.logs import REQUEST_ID, configure_logs, hush
from app.core.settings import Settings, load_settings
from app.domain.slots import window_seconds
from app.heartbeat import progress, show_life, touching
from app.redis.heartbeats import Role, SignOfLife
from app.worker import ExitCodeStep, HeartbeatStep, WorkerProcess

if TYPE_CHECKING:
    from app.runtime import Runtime

TICKERS_PER_TASK = 50
RESULTS_KEPT_SECONDS = 86_400
TASKS_PER_CHILD = 10_000
KILOBYTES_PER_CHILD = 262_144
"""Among them some 90,000 that it shares with the process that forked it."""
MOST_CHILDREN = 4
GRACE_SECONDS = 30
"""What a tick may take beyond the interval in which it retries."""

NO_NEWS: Final = ("CPendingDeprecationWarning", "Skipping prefetch count reduction")

REPAIR_TASK = "app.tasks.repairs.repair"

REQUIRE_SERVERS: Final = "from app import celery_app; celery_app.require_servers_or_exit()"

T = TypeVar("T")

log = structlog.get_logger(__name__)


def shares_of(settings: Settings) -> int:
    """Tell over how many tasks a tick is split, so that several workers share many tickers."""
    return -(-len(settings.indices) // TICKERS_PER_TASK)


def configuration(settings: Settings) -> dict[str, object]:
    """Give Celery's configuration, each choice with its reason."""
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
        "worker_concurrency": min(shares_of(settings) + 1, MOST_CHILDREN),
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
        "result_expires": RESULTS_KEPT_SECONDS,
        "task_track_started": True,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "worker_redirect_stdouts": False,
        "worker_consumer": "app.worker:PatientConsumer",
        "beat_scheduler": "app.beat:GridScheduler",
        "beat_schedule": _beat_schedule(settings),
        "heartbeat_file": settings.heartbeat_file,
    }


def _transport_options(broker: str, limit: float) -> dict[str, object]:
    if broker.startswith("amqp"):
        return {}
    # Later than any task's end, so that Redis hands out again only what a lost worker held.
    return {"visibility_timeout": round(2 * limit), "socket_connect_timeout": 3}


def _beat_schedule(settings: Settings) -> dict[str, dict[str, object]]:
    # Four times an interval: one tick waits for the slot to begin, and one that is lost with its
    # worker costs a quarter of the slot. What has its price costs one look into the database.
    pause = window_seconds(settings.collect_interval_seconds)
    shares = shares_of(settings)
    schedule: dict[str, dict[str, object]] = {
        f"collect-{share}": {
            "task": "app.tasks.prices.collect",
            "schedule": GridSchedule(pause),
            "kwargs": {"share": share, "shares": shares},
            "options": {"ignore_result": True},
        }
        for share in range(shares)
    }
    schedule["check-tickers"] = {
        "task": "app.tasks.prices.check_tickers",
        "schedule": GridSchedule(3600),
        "options": {"ignore_result": True},
    }
    schedule["tidy"] = {
        "task": "app.tasks.prices.tidy",
        "schedule": GridSchedule(600),
        "options": {"ignore_result": True},
    }
    schedule["check-summaries"] = {
        "task": "app.tasks.prices.check_summaries",
        "schedule": GridSchedule(3600),
        "options": {"ignore_result": True},
    }
    # Often enough that a gap is whole before anyone looks twice; most wakes find nothing missing.
    schedule["repair"] = {
        "task": REPAIR_TASK,
        "schedule": GridSchedule(min(max(settings.collect_interval_seconds, 10), 300)),
        "options": {"ignore_result": True},
    }
    return schedule


def run_async(work: "Callable[[Runtime], Awaitable[T]]") -> T:
    """Run a task's async work on this worker process's one event loop."""
    return process.run(work)


def _settings_or_exit() -> Settings:
    try:
        loaded = load_settings()
        broker_url(loaded)
    except AppError as error:
        raise SystemExit(exit_message(error)) from None
    return loaded


# Celery warns root of pickled messages, which this application does not accept.
warnings.simplefilter("ignore", SecurityWarning)

settings = _settings_or_exit()
process = WorkerProcess(settings)
celery = Celery("prices", amqp="app.broker:Broker")
celery.conf.update(configuration(settings))
celery.steps["worker"].update({ExitCodeStep, HeartbeatStep})


def _set_up_logs(**_: object) -> None:
    configure_logs(settings.log_level, settings.log_format)
    warn_of_misspelled_settings()
    hush("celery.beat", "celery.worker.strategy", "celery.app.trace")  # ticks speak for themselves
    for name in ("py.warnings", "celery.worker.consumer.consumer"):
        logging.getLogger(name).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of celery's says more than, at each lost connection, its defaults.

    One announces the next version's default of a setting that `configuration` states, the other
    says that prefetching goes on as it was.
    """
    return not any(words in record.getMessage() for words in NO_NEWS)


def require_servers_or_exit(**_: object) -> None:
    """End at once with one line where the process could not work."""
    from app.runtime import require_servers  # noqa: PLC0415  # heavy, and beat needs none of it

    try:
        asyncio.run(require_servers(settings, broker=True))
    except AppError as error:
        raise SystemExit(exit_message(error)) from None


def _announce_beat(**_: object) -> None:
    log.info(
        "beat_started",
        version=__version__,
        tickers=len(settings.indices),
        interval_seconds=settings.collect_interval_seconds,
        wakes_every_seconds=window_seconds(settings.collect_interval_seconds),
    )


def _require_beats_servers(**_: object) -> None:
    """Do the same in a process that ends: beat stays without what only this needs, half of it."""
    looked = subprocess.run([sys.executable, "-c", REQUIRE_SERVERS], check=False)  # noqa: S603  # ours
    if looked.returncode:
        raise SystemExit(looked.returncode)


def _keep_what_is_shared(**_: object) -> None:
    """Load what a child will need, and leave it alone: a page that is written to is its own."""
    import app.clients.transport  # noqa: F401, PLC0415  # heavy, and the workers' alone

    collect_seldom()


def _show_beats_life(**_: object) -> None:
    progress.turn()  # from now on: looking for the servers took its time
    sign = SignOfLife(redis_url(settings), Role.BEAT, f"{socket.gethostname()} (pid {os.getpid()})")
    show_life(sign.give, *touching(settings.heartbeat_file))


def _repair_at_start(**_: object) -> None:
    """Repair what was missed while no worker ran, without keeping this one from its start."""
    threading.Thread(target=_send_repair, name="repair at start", daemon=True).start()


def _send_repair() -> None:
    try:
        celery.send_task(REPAIR_TASK, ignore_result=True, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("repair_not_sent", detail=type(error).__name__)  # beat's next wake sends it


def _carry_request(headers: dict[str, object], **_: object) -> None:
    """Let a task know the request that started it."""
    if request_id := get_contextvars().get(REQUEST_ID):
        headers[REQUEST_ID] = request_id


def _bind_task(task_id: str, task: Any, **_: object) -> None:  # noqa: ANN401  # celery's task
    bind_contextvars(task_id=task_id)
    if request_id := (task.request.headers or {}).get(REQUEST_ID):
        bind_contextvars(**{REQUEST_ID: request_id})


def _unbind_task(**_: object) -> None:
    clear_contextvars()


def _close(**_: object) -> None:
    process.close()


signals.setup_logging.connect(_set_up_logs)
signals.worker_init.connect(require_servers_or_exit)
signals.worker_before_create_process.connect(_keep_what_is_shared)
signals.beat_init.connect(_require_beats_servers)
signals.beat_init.connect(_announce_beat)
signals.beat_init.connect(_show_beats_life)
signals.beat_embedded_init.connect(_show_beats_life)
signals.worker_ready.connect(_repair_at_start)
signals.before_task_publish.connect(_carry_request)
signals.task_prerun.connect(_bind_task)
signals.task_postrun.connect(_unbind_task)
signals.worker_process_shutdown.connect(_close)
signals.worker_shutdown.connect(_close)  # the solo pool sends only this one
