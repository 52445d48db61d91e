"""A process's signs of life: given by threads of their own, while its main loop makes progress."""

import ctypes
import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from app.core.background import run_repeatedly_in_thread

PAUSE_SECONDS = 1.0
STUCK_SECONDS = 5.0
POOL_STUCK_SECONDS = 10.0
"""A recycled child may sit on a task for up to eight seconds (seen in Celery 5.7)."""


class Progress:
    """Whether this process gets on: its main loop turns, and its pool works on what it is given.

    A pool's children are stopped or stuck when there is work and none of them shows that it is at
    it; one that waits for an exchange does show it, for its event loop turns.
    """

    def __init__(self) -> None:
        self._turned_at = self._idle_at = monotonic()
        self._is_waiting = False
        # memory that a pool's children share with the process that forked them
        self._worked_at = ctypes.c_double.from_buffer(mmap.mmap(-1, ctypes.sizeof(ctypes.c_double)))

    @property
    def is_made(self) -> bool:
        """Tell whether the process gets on, or waits for the broker."""
        turns = monotonic() - self._turned_at < STUCK_SECONDS
        return self._is_waiting or (turns and self._pool_works())

    def turn(self, *, is_idle: bool = True) -> None:
        """Note that the main loop turned, and whether the pool has nothing to do."""
        self._turned_at = monotonic()
        if is_idle:
            self._idle_at = self._turned_at

    def work(self) -> None:
        """Note that the loop of a task turned: in a child of the pool, or in the solo pool here."""
        self._turned_at = self._worked_at.value = monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Excuse the main loop while it waits for the broker to come back."""
        self._is_waiting = True
        try:
            yield
        finally:
            self._is_waiting = False
            self.turn()

    def _pool_works(self) -> bool:
        shown = self._worked_at.value
        # never shown: the pool's children are not forks (macOS), and write elsewhere
        return not shown or monotonic() - max(self._idle_at, shown) < POOL_STUCK_SECONDS


progress = Progress()


def show_life(*signs: Callable[[], None]) -> None:
    """Give signs of life from now on; each in a thread, so that none waits for another."""
    for sign in signs:
        run_repeatedly_in_thread("heartbeat", partial(_give, sign, threading.Event()))


def touching(heartbeat_file: Path | None) -> list[Callable[[], None]]:
    """Give the sign for the parent process, if that waits for one."""
    return [] if heartbeat_file is None else [heartbeat_file.touch]


def _give(sign: Callable[[], None], nap: threading.Event) -> None:
    if progress.is_made:
        sign()
    nap.wait(PAUSE_SECONDS)
