"""The Celery application: `celery -A app.celery_app worker` and `beat` start here."""

import warnings
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from celery import Celery
from celery.exceptions import SecurityWarning

from app.core.errors import AppError
from app.core.exit_messages import exit_message
from app.core.server_urls import broker_url
from app.core.settings import Settings, load_settings
from app.worker.configuration import celery_configuration
from app.worker.consumer import ExitCodeStep, HeartbeatStep
from app.worker.event_loop import TaskLoop
from app.worker.signals import SignalHandlers

if TYPE_CHECKING:
    from app.runtime import Runtime

T = TypeVar("T")


def run_async(work: "Callable[[Runtime], Awaitable[T]]") -> T:
    """Run a task's async work on this worker process's one event loop."""
    return task_loop.run(work)


def _settings_or_exit() -> Settings:
    try:
        loaded = load_settings()
        broker_url(loaded)
    except AppError as error:
        raise SystemExit(exit_message(error)) from None
    return loaded


# Celery warns of pickled messages if it runs as root; this application does not accept them.
warnings.simplefilter("ignore", SecurityWarning)

settings = _settings_or_exit()
task_loop = TaskLoop(settings)
celery = Celery("prices", amqp="app.worker.broker:Broker")
celery.conf.update(celery_configuration(settings))
celery.steps["worker"].update({ExitCodeStep, HeartbeatStep})
signal_handlers = SignalHandlers(celery, settings, task_loop)
signal_handlers.connect()
