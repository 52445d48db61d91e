"""The Celery application: `celery -A app.celery_app worker` and `beat` start here."""

import warnings

from celery import Celery
from celery.exceptions import SecurityWarning

from app.core.exit_messages import exiting_on_errors
from app.core.settings import load_settings
from app.worker.configuration import celery_configuration
from app.worker.consumer import ExitCodeStep, HeartbeatStep
from app.worker.event_loop import TaskLoop
from app.worker.signals import SignalHandlers

# Celery warns of pickled messages if it runs as root; this application does not accept them.
warnings.simplefilter("ignore", SecurityWarning)

with exiting_on_errors():
    settings = load_settings()
    configuration = celery_configuration(settings)
task_loop = TaskLoop(settings)
run_async = task_loop.run
"""Runs a task's async work on this worker process's one event loop."""
celery = Celery("prices", amqp="app.worker.broker:Broker")
celery.conf.update(configuration)
celery.steps["worker"].update({ExitCodeStep, HeartbeatStep})
signal_handlers = SignalHandlers(celery, settings, task_loop)
signal_handlers.connect()
