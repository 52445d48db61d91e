"""The heartbeats of beat or a worker: sent by threads, as long as the process makes progress."""

import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic, sleep

from app.core.background_loops import run_repeatedly_in_thread

HEARTBEAT_SECONDS = 1.0
MAIN_LOOP_TIMEOUT_SECONDS = 5.0
POOL_TIMEOUT_SECONDS = 10.0
"""A recycled child may sit on a task for up to eight seconds (seen in Celery 5.7)."""


class Liveness:
    """Whether this process makes progress: its main loop runs, and its pool works on its tasks.

    The pool is stuck if it has tasks and no child reports that the event loop of a task runs; a
    task that waits for an exchange still reports it.
    """

    def __init__(self) -> None:
        self._main_loop_at = self._pool_idle_at = monotonic()
        self._is_waiting_for_broker = False
        # memory that the pool's forked children share with this process
        self._task_loop_at = ctypes.c_double.from_buffer(
            mmap.mmap(-1, ctypes.sizeof(ctypes.c_double))
        )

    @property
    def is_alive(self) -> bool:
        """Whether the process makes progress, or waits for the broker."""
        is_main_loop_alive = monotonic() - self._main_loop_at < MAIN_LOOP_TIMEOUT_SECONDS
        return self._is_waiting_for_broker or (is_main_loop_alive and self._is_pool_alive())

    def report_main_loop(self, *, is_pool_idle: bool = True) -> None:
        """Report that the main loop runs, and whether the pool has no task."""
        self._main_loop_at = monotonic()
        if is_pool_idle:
            self._pool_idle_at = self._main_loop_at

    def report_task_loop(self) -> None:
        """Report that a task's event loop runs, in a child of the pool or in the solo pool."""
        self._main_loop_at = self._task_loop_at.value = monotonic()

    @contextmanager
    def waiting_for_broker(self) -> Iterator[None]:
        """Count the process as alive while its main loop waits for the broker."""
        self._is_waiting_for_broker = True
        try:
            yield
        finally:
            self._is_waiting_for_broker = False
            self.report_main_loop()

    def _is_pool_alive(self) -> bool:
        reported_at = self._task_loop_at.value
        # 0: on macOS the children are not forks, and don't share the memory
        latest = max(self._pool_idle_at, reported_at)
        return not reported_at or monotonic() - latest < POOL_TIMEOUT_SECONDS


liveness = Liveness()


def start_heartbeats(*senders: Callable[[], None] | None) -> None:
    """Call every sender once a second while the process is alive; None is skipped.

    Each has its own thread, so that none waits for another.
    """
    for send in filter(None, senders):
        run_repeatedly_in_thread("heartbeat", partial(_send_if_alive_then_wait, send))


def _send_if_alive_then_wait(send: Callable[[], None]) -> None:
    if liveness.is_alive:
        send()
    sleep(HEARTBEAT_SECONDS)
