"""What the terminal shows: the children's lines behind their names, and the supervisor's own."""

import asyncio
import json
import os
import queue
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from io import RawIOBase
from typing import Final, Protocol, Self

from app.core.exit_messages import json_event

_MAX_LINE: Final = 64 * 1024
_MAX_WAITING: Final = 10_000
_LAST_SECONDS: Final = 1.0
_NAME_WIDTH: Final = 8
_BOLD: Final = 1
_BLUE: Final = 34
_COLOURS: Final = {"api": 36, "worker": 32, "beat": 35, "exchange": 33}


class Output(Protocol):
    """Who listens to children and to their supervisor."""

    def line(self, name: str, text: str) -> None:
        """Take a line that a child wrote."""

    def note(self, text: str) -> None:
        """Take a line of the supervisor's own."""


class NullOutput:
    """Nobody listens."""

    def line(self, name: str, text: str) -> None:
        """Drop a line that a child wrote."""

    def note(self, text: str) -> None:
        """Drop a line of the supervisor's own."""


class Terminal:
    """Lines behind the names of those who wrote them, coloured where that is possible.

    A thread writes them, so that a terminal that is paused, or a pipe that nobody reads, never
    holds up the supervisor; what it can't take is dropped.
    """

    hides_secrets = False
    """Whether what is shown goes to a log, where no key may stand."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self.interactive = os.isatty(self._descriptor)
        self._coloured = self.interactive and "NO_COLOR" not in os.environ
        self._waiting: queue.Queue[str | None] = queue.Queue(maxsize=_MAX_WAITING)
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what still waits, if that is possible."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._writer.join(_LAST_SECONDS)

    def line(self, name: str, text: str) -> None:
        """Show a line that a child wrote."""
        prefix = f"{name:<{_NAME_WIDTH}} │ "
        self._put(self._paint(prefix, _COLOURS.get(name, _BLUE)) + text)

    def note(self, text: str) -> None:
        """Show a line of the supervisor's own."""
        self._put(self._paint(text, _BOLD))

    def _paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text

    def _put(self, line: str) -> None:
        with suppress(queue.Full):
            self._waiting.put_nowait(line)

    def _write_all(self) -> None:
        # unbuffered: a buffer's lock, held by a blocked write, would break the interpreter's end
        with open(self._descriptor, "wb", buffering=0, closefd=False) as out:
            while (line := self._waiting.get()) is not None:
                with suppress(OSError):  # the terminal is gone; the recording goes on
                    _write(out, f"{line}\n".encode())


class JsonTerminal(Terminal):
    """The same as events in JSON, one a line, for LOG_FORMAT=json."""

    hides_secrets = True

    def line(self, name: str, text: str) -> None:
        """Hand on a child's event with the child's name; make one of any other text."""
        if text.strip():
            self._put(as_event(name, text))

    def note(self, text: str) -> None:
        """Show a line of the supervisor's own."""
        self._put(json_event(text.strip(), level="info", service="supervisor"))


def as_event(name: str, text: str) -> str:
    """Give a child's line as an event with the child's name."""
    with suppress(ValueError):
        event = json.loads(text)
        if isinstance(event, dict):
            return json.dumps({**event, "service": name})
    return json_event(text, level="info", service=name)


def _write(out: RawIOBase, data: bytes) -> None:
    while data:
        data = data[out.write(data) or 0 :]


async def lines_of(read_end: int) -> AsyncGenerator[str, None]:
    """Read a pipe line by line to its end and close it; an endless line comes in pieces."""
    reader = asyncio.StreamReader()
    with os.fdopen(read_end, "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            async for line in _split(reader):
                yield line.decode(errors="replace").rstrip("\r")
        finally:
            transport.close()


async def _split(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    while chunk := await reader.read(_MAX_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _MAX_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
