"""Where the children's lines and the supervisor's messages go."""

import asyncio
import json
import os
import queue
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final, Self

from app.core.exit_messages import json_event

_MAX_LINE_BYTES: Final = 64 * 1024
_MAX_QUEUED_LINES: Final = 10_000
_CLOSE_TIMEOUT_SECONDS: Final = 1.0
_NAME_WIDTH: Final = 8
_BOLD: Final = 1
_BLUE: Final = 34
_COLOURS: Final = {"api": 36, "worker": 32, "beat": 35, "exchange": 33}


class Output:
    """Receives the lines of children and the messages of their supervisor; this one drops them."""

    def write_line(self, name: str, text: str) -> None:
        """Receive a line that the child of this name wrote."""

    def write_message(self, text: str) -> None:
        """Receive a message of the supervisor."""


class TerminalOutput(Output):
    """Writes each child's lines behind its name, in colour on a terminal.

    A thread writes them, so a paused terminal, or a pipe that nobody reads, never blocks the
    supervisor. Lines that it can't take are dropped.
    """

    hides_secrets = False
    """Whether the output goes to a log, where no key may appear."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self.is_interactive = os.isatty(self._descriptor)
        self._is_coloured = self.is_interactive and "NO_COLOR" not in os.environ
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=_MAX_QUEUED_LINES)
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the lines that still wait, if that is possible in time."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)
            self._writer.join(_CLOSE_TIMEOUT_SECONDS)

    def write_line(self, name: str, text: str) -> None:
        """Write a line of a child."""
        prefix = f"{name:<{_NAME_WIDTH}} │ "
        self._enqueue(self._coloured(prefix, _COLOURS.get(name, _BLUE)) + text)

    def write_message(self, text: str) -> None:
        """Write a message of the supervisor."""
        self._enqueue(self._coloured(text, _BOLD))

    def _coloured(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._is_coloured else text

    def _enqueue(self, line: str) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def _write_all(self) -> None:
        # unbuffered: a buffer's lock, held by a blocked write, would break the interpreter's end
        with open(self._descriptor, "wb", buffering=0, closefd=False) as out:
            while (line := self._lines.get()) is not None:
                data = f"{line}\n".encode()
                with suppress(OSError):  # the terminal is gone; the recording goes on
                    while data:
                        data = data[out.write(data) or 0 :]


class JsonOutput(TerminalOutput):
    """Writes JSON events, one a line, for LOG_FORMAT=json."""

    hides_secrets = True

    def write_line(self, name: str, text: str) -> None:
        """Write a child's line as an event with the child's name."""
        if text.strip():
            self._enqueue(add_service_or_wrap(name, text))

    def write_message(self, text: str) -> None:
        """Write a message of the supervisor."""
        self._enqueue(json_event(text.strip(), level="info", service="supervisor"))


def add_service_or_wrap(service: str, line: str) -> str:
    """Add `service` to a line that is a JSON object; wrap any other line in a JSON event."""
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return json.dumps({**event, "service": service})
    return json_event(line, level="info", service=service)


async def read_lines(read_end: int) -> AsyncGenerator[str, None]:
    """Read a pipe line by line to its end and close it; a very long line comes in pieces."""
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
    while chunk := await reader.read(_MAX_LINE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _MAX_LINE_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest
