"""The handlers of Celery's signals: logs, checks, heartbeats and the first repair."""

import logging
import os
import socket
import sys
import threading
from time import perf_counter
from typing import Any, Final

import structlog
from celery import Celery, signals
from celery.states import FAILURE
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from app import __version__
from app.core.errors import AppError
from app.core.exit_messages import warn_of_misspelled_settings
from app.core.gc_tuning import tune_gc
from app.core.logs import REQUEST_ID, configure_logs, quiet_loggers
from app.core.metrics import TASK_SECONDS, observe
from app.core.server_urls import redis_url
from app.core.settings import Settings
from app.domain.slots import window_seconds
from app.redis.process_reports import Heartbeat, Role
from app.worker.beat import end_beat_on_signal
from app.worker.event_loop import TaskLoop
from app.worker.heartbeat import liveness, start_heartbeats
from app.worker.schedule import REPAIR_TASK
from app.worker.server_check import require_servers_in_subprocess, require_servers_or_exit

IGNORED_WARNINGS: Final = ("CPendingDeprecationWarning", "Skipping prefetch count reduction")

log = structlog.get_logger(__name__)


class SignalHandlers:
    """The handlers of Celery's signals, for one application."""

    def __init__(self, celery: Celery, settings: Settings, task_loop: TaskLoop) -> None:
        self._celery = celery
        self._settings = settings
        self._task_loop = task_loop
        self._task_started_at = 0.0

    def connect(self) -> None:
        """Connect every handler; Celery keeps no reference to them, so this object must live."""
        signals.setup_logging.connect(self._set_up_logs)
        signals.worker_init.connect(self._check_servers)
        signals.worker_before_create_process.connect(_load_before_fork)
        signals.worker_ready.connect(self._repair_at_start)
        signals.worker_process_shutdown.connect(self._close)
        signals.worker_shutdown.connect(self._close)  # the solo pool sends only this one
        signals.beat_init.connect(require_servers_in_subprocess)
        signals.beat_init.connect(self._announce_beat)
        signals.beat_init.connect(self._start_beat_heartbeat)
        signals.beat_embedded_init.connect(self._start_beat_heartbeat)
        signals.beat_init.connect(end_beat_on_signal)
        signals.before_task_publish.connect(_add_request_id)
        signals.worker_init.connect(_make_argv_restartable)
        signals.task_prerun.connect(_bind_log_context)
        signals.task_prerun.connect(self._start_timer)
        signals.task_postrun.connect(self._observe_and_flush)
        signals.task_postrun.connect(_clear_log_context)

    def _set_up_logs(self, **_: object) -> None:
        configure_logs(self._settings.log_level, self._settings.log_format)
        warn_of_misspelled_settings()
        # the application logs its tasks itself
        quiet_loggers("celery.beat", "celery.worker.strategy", "celery.app.trace")
        for name in ("py.warnings", "celery.worker.consumer.consumer"):
            logging.getLogger(name).addFilter(_is_relevant)

    def _check_servers(self, **_: object) -> None:
        require_servers_or_exit(self._settings)

    def _announce_beat(self, **_: object) -> None:
        log.info(
            "beat_started",
            version=__version__,
            tickers=len(self._settings.indices),
            interval_seconds=self._settings.collect_interval_seconds,
            wakes_every_seconds=window_seconds(self._settings.collect_interval_seconds),
        )

    def _start_beat_heartbeat(self, **_: object) -> None:
        liveness.report_main_loop()  # because the check of the servers took some time
        name = f"{socket.gethostname()} (pid {os.getpid()})"
        heartbeat = Heartbeat(redis_url(self._settings), Role.BEAT, name)
        file = self._settings.heartbeat_file
        start_heartbeats(heartbeat.beat, file.touch if file else None)

    def _repair_at_start(self, **_: object) -> None:
        """Request a repair of what was missed while no worker ran, without delaying the start."""
        threading.Thread(target=self._send_repair, name="repair at start", daemon=True).start()

    def _send_repair(self) -> None:
        try:
            self._celery.send_task(REPAIR_TASK, ignore_result=True, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            log.warning("repair_not_sent", detail=type(error).__name__)  # beat's next one retries

    def _start_timer(self, **_: object) -> None:
        self._task_started_at = perf_counter()

    def _observe_and_flush(self, task: Any, state: str | None, retval: object, **_: object) -> None:  # noqa: ANN401  # celery's task
        """Observe a task that has ended, and write what its process counted.

        A process runs one task at a time. Without a state, the process is ending in mid-task.
        """
        if state is not None:
            seconds = perf_counter() - self._task_started_at
            observe(TASK_SECONDS, seconds, task.name, _outcome(state, retval))
        self._task_loop.flush_counters()

    def _close(self, **_: object) -> None:
        self._task_loop.close()


def _is_relevant(record: logging.LogRecord) -> bool:
    """Drop two warnings that Celery repeats at each lost connection.

    One announces a new default of a setting that the configuration sets, the other that the
    prefetch count stays as it is.
    """
    return not any(words in record.getMessage() for words in IGNORED_WARNINGS)


def _make_argv_restartable(**_: object) -> None:
    """Let SIGHUP restart a worker that `python -m` started.

    Celery repeats `sys.argv`, whose first word is then a module's file; as a script it can't import
    its own package.
    """
    spec = sys.modules["__main__"].__spec__
    if spec is not None and sys.argv[0] == spec.origin:
        sys.argv[:1] = ["-m", spec.name.removesuffix(".__main__")]


def _load_before_fork(**_: object) -> None:
    """Load what every child needs before the fork, so that they share its memory."""
    import app.clients.transport  # noqa: F401, PLC0415  # heavy, and the workers' alone

    tune_gc()


def _add_request_id(headers: dict[str, object], **_: object) -> None:
    """Add the id of the current HTTP request, if any, to a task's message."""
    if request_id := get_contextvars().get(REQUEST_ID):
        headers[REQUEST_ID] = request_id


def _outcome(state: str, result: object) -> str:
    """Return "ok", or the error code of a task that failed."""
    if state != FAILURE:
        return "ok"
    return result.code if isinstance(result, AppError) else AppError.code


def _bind_log_context(task_id: str, task: Any, **_: object) -> None:  # noqa: ANN401  # celery's task
    bind_contextvars(task_id=task_id)
    if request_id := (task.request.headers or {}).get(REQUEST_ID):
        bind_contextvars(**{REQUEST_ID: request_id})


def _clear_log_context(**_: object) -> None:
    clear_contextvars()
