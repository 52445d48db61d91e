"""What tests of processes share: tiny programs, a listener, ways to wait and to look."""

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

FOREVER = "import time; time.sleep(60)"


class Listener(Output):
    """Remembers what children and their supervisor said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def write_line(self, name: str, text: str) -> None:
        self.lines.append((name, text))

    def write_message(self, text: str) -> None:
        self.notes.append(text)


def python(program: str, *arguments: object) -> list[str]:
    """Write a program down as a command line."""
    return [sys.executable, "-c", program, *map(str, arguments)]


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition while the event loop runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """Say whether a process runs, as opposed to being gone or a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def number_in(file: Path) -> int:
    """Read a number that a program writes, 0 before it did."""
    return int(file.read_text() or 0) if file.exists() else 0
