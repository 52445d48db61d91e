"""What differs from Celery's own worker: reconnecting, exit codes and heartbeats."""

import os
from functools import partial
from time import sleep
from typing import Any

from celery import bootsteps
from celery.platforms import EX_FAILURE
from celery.worker import heartbeat, state
from celery.worker.consumer import Consumer
from celery.worker.consumer.heart import Heart

from app.redis.heartbeats import Heartbeat, Role
from app.worker.heartbeat import PAUSE_SECONDS, progress, show_life, touching

RECONNECTING = {"interval_start": 1, "interval_step": 0, "interval_max": 1}
"""Seconds between two tries to reach the broker."""


class _Events(heartbeat.Heart):  # type: ignore[misc]  # celery ships no types
    """Celery's own heartbeat, an event for monitors, which stops no main loop.

    With Celery's retries it would wait there for the broker, in pauses that grow to 30 s.
    """

    def _send(self, event: str, *, retry: bool = False) -> None:  # noqa: ARG002  # celery wants one
        super()._send(event, retry=False)


class _EventsStep(Heart):  # type: ignore[misc]  # same
    def start(self, c: Any) -> None:  # noqa: ANN401  # celery's consumer
        c.heart = _Events(c.timer, c.event_dispatcher, self.heartbeat_interval)
        c.heart.start()


class ReconnectingConsumer(Consumer):  # type: ignore[misc]  # same
    """A consumer whose wait for the broker is not taken for a hang."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # same
        """The steps of a consumer, its heartbeat replaced."""

        default_steps = (
            *(step for step in Consumer.Blueprint.default_steps if not step.endswith(":Heart")),
            _EventsStep,
        )

    def connect(self) -> Any:  # noqa: ANN401  # kombu's connection
        """Connect to the broker, however long it is away."""
        with progress.waiting():
            return super().connect()

    def ensure_connected(self, conn: Any) -> Any:  # noqa: ANN401  # same
        """Try again in steady steps: kombu's own pauses grow to 30 s, in which slots get lost."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECTING)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Take the same steps where the broker answers and refuses: Celery's own take no pause."""
        super().on_connection_error_before_connected(exc)
        with progress.waiting():
            sleep(RECONNECTING["interval_start"])


class ExitCodeStep(bootsteps.Step):  # type: ignore[misc]  # celery ships no types
    """Lets a worker end with 0 only if it was asked to; Celery means so, and forgets some ends."""

    def __init__(self, worker: Any, **_: Any) -> None:  # noqa: ANN401  # celery's worker
        worker.exitcode = EX_FAILURE  # a stop that was asked for sets 0


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
    """Ties the signs of life to the worker's main loop."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:  # noqa: ANN401  # celery's worker
        """Give signs from now on, in the worker's own name."""
        conf = worker.app.conf
        worker.timer.call_repeatedly(PAUSE_SECONDS, _turn)
        sign = Heartbeat(conf.result_backend, Role.WORKER, f"{worker.hostname} (pid {os.getpid()})")
        show_life(sign.beat, *touching(conf.heartbeat_file))


def _turn() -> None:
    progress.turn(is_idle=not state.reserved_requests)
