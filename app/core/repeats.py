"""Repeated warnings: the first is logged at once, the others as one line a minute with a count.

During an outage every tick, request and wake fails in the same way. Each kind of failure shows its
first line, then its newest one once a minute, and its last one when it has stopped.
"""

import atexit
import copy
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import walk_tb
from typing import TextIO

QUIET_SECONDS = 60.0
MAX_KINDS = 256
VARYING_FIELDS = frozenset(
    {"again_in_seconds", "exc_info", "milliseconds", "request_id", "task_id", "timestamp"}
)
"""Fields in which two failures of one kind differ."""
TELLING_NUMBERS = frozenset({"status", "code"})
"""Fields whose number makes another kind."""
_NUMBERS = re.compile(r"\b[0-9a-f-]*[0-9][0-9a-f-]*\b")
"""Numbers, addresses and ids."""


@dataclass(slots=True)
class _Kind:
    """FailureStore of one kind: when a line was last shown, what came since, and the newest."""

    shown_at: float
    withheld: int = 0
    newest: logging.LogRecord | None = None


class ThrottlingHandler(logging.StreamHandler[TextIO]):
    """Writes the first warning of a kind, and then one line a minute for all that follow.

    A kind is a logger's event with its fields, whatever their numbers. What is below `warning`
    is written as it comes. A line that sums up carries `repeated`, the number of lines that it
    stands for; a thread writes it, which runs as long as something is withheld.
    """

    def __init__(self, stream: TextIO, quiet_seconds: float = QUIET_SECONDS) -> None:
        super().__init__(stream)
        self._quiet_seconds = quiet_seconds
        self._kinds: dict[str, _Kind] = {}
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        atexit.register(self.write_withheld)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        if record.levelno < logging.WARNING or self._is_first(record):
            super().emit(record)

    def write_withheld(self) -> None:
        """Write what is withheld, due or not."""
        with self._locked():
            self._forget_parents_kinds()
            for kind in self._kinds.values():
                self._write_newest(kind)

    def close(self) -> None:
        """Write what is withheld, for the last time."""
        atexit.unregister(self.write_withheld)
        self.write_withheld()
        super().close()

    def _is_first(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is the first of its kind; withhold it if not."""
        self._forget_parents_kinds()
        name, now = _kind_of(record), time.monotonic()
        kind = self._kinds.get(name)
        if kind is None or (not kind.withheld and now - kind.shown_at >= self._quiet_seconds):
            self._remember(name, _Kind(now))
            return True
        kind.withheld, kind.newest = kind.withheld + 1, record
        self._start_thread()
        return False

    def _remember(self, name: str, kind: _Kind) -> None:
        self._kinds.pop(name, None)
        if len(self._kinds) >= MAX_KINDS:
            self._write_newest(self._kinds.pop(next(iter(self._kinds))))
        self._kinds[name] = kind

    def _forget_parents_kinds(self) -> None:
        """After a fork, leave to the parent what it withholds."""
        if self._pid != os.getpid():
            self._pid, self._kinds, self._thread = os.getpid(), {}, None

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_when_due, daemon=True)
            self._thread.start()

    def _write_when_due(self) -> None:
        while True:
            time.sleep(self._quiet_seconds / 10)
            with self._locked():
                self._write_due()
                if not any(kind.withheld for kind in self._kinds.values()):
                    self._thread = None
                    return

    def _write_due(self) -> None:
        due_before = time.monotonic() - self._quiet_seconds
        for kind in self._kinds.values():
            if kind.shown_at <= due_before:
                self._write_newest(kind)

    def _write_newest(self, kind: _Kind) -> None:
        if kind.newest is not None and not self.stream.closed:
            super().emit(_counted(kind.newest, kind.withheld))
            kind.shown_at, kind.withheld, kind.newest = time.monotonic(), 0, None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the handler's own lock, which a fork renews."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _kind_of(record: logging.LogRecord) -> str:
    return " ".join([record.name, _place_of_defect(record), *_words(record)])


def _words(record: logging.LogRecord) -> Iterator[str]:
    if not isinstance(record.msg, dict):
        yield _NUMBERS.sub("#", record.getMessage())
        return
    for name, value in record.msg.items():
        if name in TELLING_NUMBERS:
            yield f"{name}={value}"
        elif name not in VARYING_FIELDS:
            yield _NUMBERS.sub("#", f"{name}={value}")


def _place_of_defect(record: logging.LogRecord) -> str:
    """Tell where an error that is logged with its trace was raised; empty without a trace."""
    if isinstance(record.msg, dict):
        stated = record.msg.get("exc_info")
        error = sys.exc_info()[1] if stated is True else stated
    else:
        error = record.exc_info and record.exc_info[1]
    if not isinstance(error, BaseException):
        return ""
    lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return " ".join([type(error).__name__, *lines[-1:]])


def _counted(record: logging.LogRecord, repeated: int) -> logging.LogRecord:
    """Give the record with the count, and without its trace, which the first one showed."""
    counted = copy.copy(record)
    counted.exc_info = counted.exc_text = None
    if isinstance(record.msg, dict):
        kept = {name: value for name, value in record.msg.items() if name != "exc_info"}
        counted.msg = {**kept, "repeated": repeated}
    else:
        counted.msg, counted.args = f"{record.getMessage()} (repeated {repeated} times)", ()
    return counted
