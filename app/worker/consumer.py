"""Changes to Celery's worker: how it reconnects, its exit code and its heartbeats."""

import os
from functools import partial
from time import sleep
from typing import Any

from celery import bootsteps
from celery.platforms import EX_FAILURE
from celery.worker import heartbeat as events
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.consumer.heart import Heart

from app.redis.process_reports import Heartbeat, Role
from app.worker.heartbeat import HEARTBEAT_SECONDS, liveness, start_heartbeats

RECONNECT_POLICY = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
"""Kombu's retry policy, in seconds: a constant pause of one second."""


class _EventSender(events.Heart):  # type: ignore[misc]  # celery ships no types
    """Celery's own heartbeat, an event for monitors, without its retries.

    They would block the main loop while the broker is away, in pauses that grow to 30 s.
    """

    def _send(self, event: str, *, retry: bool = False) -> None:  # noqa: ARG002  # celery's signature
        super()._send(event, retry=False)


class _EventSenderStep(Heart):  # type: ignore[misc]  # same
    def start(self, c: Any) -> None:  # noqa: ANN401  # celery's consumer
        c.heart = _EventSender(c.timer, c.event_dispatcher, self.heartbeat_interval)
        c.heart.start()


class ConstantBackoffConsumer(Consumer):  # type: ignore[misc]  # same
    """A consumer that reconnects at a constant pace, and counts as alive while it waits."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # same
        """Celery's steps, with another sender of events."""

        default_steps = (
            *(step for step in Consumer.Blueprint.default_steps if not step.endswith(":Heart")),
            _EventSenderStep,
        )

    def connect(self) -> Any:  # noqa: ANN401  # kombu's connection
        """Connect to the broker; wait for it as long as it is away."""
        with liveness.waiting_for_broker():
            return super().connect()

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401  # same
        """Retry with constant pauses: kombu's own grow to 30 s, in which prices would be missed."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_POLICY)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause also after the broker refused a connection; Celery would retry without a pause."""
        super().on_connection_error_before_connected(exc)
        with liveness.waiting_for_broker():
            sleep(RECONNECT_POLICY["interval_start"])


class ExitCodeStep(bootsteps.Step):  # type: ignore[misc]  # celery ships no types
    """Makes a worker exit with 0 only after a requested stop; Celery does after some failures."""

    def __init__(self, worker: Any, **_: Any) -> None:  # noqa: ANN401  # celery's worker
        worker.exitcode = EX_FAILURE  # a requested stop sets 0


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
    """Sends the worker's heartbeats while its main loop runs."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:  # noqa: ANN401  # celery's worker
        """Start to send heartbeats to Redis and, if there is a file, to the parent process."""
        conf, name = worker.app.conf, f"{worker.hostname} (pid {os.getpid()})"
        worker.timer.call_repeatedly(HEARTBEAT_SECONDS, _report_main_loop)
        heartbeat = Heartbeat(conf.result_backend, Role.WORKER, name)
        file = conf.heartbeat_file
        start_heartbeats(heartbeat.beat, file.touch if file else None)


def _report_main_loop() -> None:
    liveness.report_main_loop(is_pool_idle=not state.reserved_requests)
