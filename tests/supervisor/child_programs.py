"""Small programs and helpers for tests of processes."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.supervisor.output import Output

PROJECT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROJECT)}
"""For programs that import the project from any folder."""

SLEEP_PROGRAM = "import time; time.sleep(60)"


class RecordingOutput(Output):
    """Stores the output of the children and the messages of their supervisor."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.messages: list[str] = []

    def write_line(self, name: str, text: str) -> None:
        self.lines.append((name, text))

    def write_message(self, text: str) -> None:
        self.messages.append(text)


def python_command(program: str, *arguments: object) -> list[str]:
    """Return the command line that runs a program."""
    return [sys.executable, "-c", program, *map(str, arguments)]


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition while the event loop runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Say whether a process runs, as opposed to being gone or a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def read_number(file: Path) -> int:
    """Read a number that a program writes, 0 before it did."""
    return int(file.read_text() or 0) if file.exists() else 0
