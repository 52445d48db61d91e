"""Throttling of repeated warnings: the first is logged at once, then one a minute with a count.

During an outage every tick, request and background step fails in the same way. Each group of equal
failures shows its first line, then its newest one once a minute, and its last one when it is over.
"""

import copy
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from traceback import walk_tb
from typing import TextIO

QUIET_SECONDS = 60.0
MAX_GROUPS = 256
IGNORED_FIELDS = frozenset(
    {"again_in_seconds", "exc_info", "milliseconds", "request_id", "task_id", "timestamp"}
)
"""Fields that may differ between lines of one group."""
EXACT_FIELDS = frozenset({"status", "code"})
"""Fields whose numbers must be equal within a group."""
_NUMBERS = re.compile(r"\b[0-9a-f-]*[0-9][0-9a-f-]*\b")
"""Numbers, addresses and ids."""


@dataclass(slots=True)
class _Group:
    """Equal warnings: when one was last shown, how many were suppressed since, and the newest."""

    shown_at: float
    suppressed: int = 0
    newest: logging.LogRecord | None = None


class ThrottlingHandler(logging.StreamHandler[TextIO]):
    """Writes the first warning of a group, and then one line a minute for all that follow.

    A group is a logger's event with its fields, apart from their numbers. Records below `warning`
    are never suppressed. A summary line carries `repeated`, the number of lines that it stands for;
    a thread writes it, which runs as long as something is suppressed.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._groups: dict[str, _Group] = {}
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        if record.levelno < logging.WARNING or self._is_first(record):
            super().emit(record)

    def write_suppressed(self) -> None:
        """Write a summary line for every group with suppressed records."""
        with self.lock:  # type: ignore[union-attr]  # the handler's own, which a fork renews
            self._reset_after_fork()
            for group in self._groups.values():
                self._write_summary(group)

    def close(self) -> None:
        """Write what is suppressed, and close; `logging` closes handlers when the process ends."""
        self.write_suppressed()
        super().close()

    def _is_first(self, record: logging.LogRecord) -> bool:
        """Return whether a record is the first of its group; suppress it if not."""
        self._reset_after_fork()
        key, now = _group_key(record), time.monotonic()
        group = self._groups.get(key)
        if group is None or (not group.suppressed and now - group.shown_at >= QUIET_SECONDS):
            self._add_group(key, _Group(now))
            return True
        group.suppressed, group.newest = group.suppressed + 1, record
        self._start_thread()
        return False

    def _add_group(self, key: str, group: _Group) -> None:
        self._groups.pop(key, None)
        if len(self._groups) >= MAX_GROUPS:
            self._write_summary(self._groups.pop(next(iter(self._groups))))
        self._groups[key] = group

    def _reset_after_fork(self) -> None:
        """Leave suppressed records to the parent after a fork."""
        if self._pid != os.getpid():
            self._pid, self._groups, self._thread = os.getpid(), {}, None

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_when_due, daemon=True)
            self._thread.start()

    def _write_when_due(self) -> None:
        while True:
            time.sleep(QUIET_SECONDS / 10)
            due_before = time.monotonic() - QUIET_SECONDS
            with self.lock:  # type: ignore[union-attr]  # the handler's own, which a fork renews
                for group in self._groups.values():
                    if group.shown_at <= due_before:
                        self._write_summary(group)
                if not any(group.suppressed for group in self._groups.values()):
                    self._thread = None
                    return

    def _write_summary(self, group: _Group) -> None:
        if group.newest is not None and not self.stream.closed:
            super().emit(_with_count(group.newest, group.suppressed))
            group.shown_at, group.suppressed, group.newest = time.monotonic(), 0, None


def _group_key(record: logging.LogRecord) -> str:
    return " ".join([record.name, _raised_at(record), *_fields(record)])


def _fields(record: logging.LogRecord) -> Iterator[str]:
    if not isinstance(record.msg, dict):
        yield _NUMBERS.sub("#", record.getMessage())
        return
    for name, value in record.msg.items():
        if name in EXACT_FIELDS:
            yield f"{name}={value}"
        elif name not in IGNORED_FIELDS:
            yield _NUMBERS.sub("#", f"{name}={value}")


def _raised_at(record: logging.LogRecord) -> str:
    """Return where an error that is logged with its trace was raised; empty without a trace."""
    if isinstance(record.msg, dict):
        exc_info = record.msg.get("exc_info")
        error = sys.exc_info()[1] if exc_info is True else exc_info
    else:
        error = record.exc_info and record.exc_info[1]
    if not isinstance(error, BaseException):
        return ""
    lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return " ".join([type(error).__name__, *lines[-1:]])


def _with_count(record: logging.LogRecord, repeated: int) -> logging.LogRecord:
    """Copy a record with the count, and without its trace, which the first one showed."""
    summary = copy.copy(record)
    summary.exc_info = summary.exc_text = None
    if isinstance(record.msg, dict):
        fields = {name: value for name, value in record.msg.items() if name != "exc_info"}
        summary.msg = {**fields, "repeated": repeated}
    else:
        summary.msg, summary.args = f"{record.getMessage()} (repeated {repeated} times)", ()
    return summary
