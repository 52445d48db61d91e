"""A child process: how it is described, started, listened to and ended."""

import asyncio
import os
import pwd
import shutil
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from app.supervisor.output import Output, lines_of
from app.supervisor.probes import Probe

Announce = Callable[[int], None]

_ONCE_TOLD: Final = ("/bin/sh", "-c", 'read -r told && exec "$@" </dev/null', "sh")
_REMEMBERED_LINES: Final = 15
_TAIL_BYTES: Final = 4096
_LAST_LINES_SECONDS: Final = 0.5


class CannotStart(Exception):
    """Something that the whole needs can't start; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSpec:
    """What to run, and how to see that it is ready and still alive."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    log: Path | None = None  # instead of the supervisor's own output
    ready: Probe | None = None
    ready_seconds: float = 30.0
    alive: Probe | None = None
    look_seconds: float = 1.0
    silence_seconds: float = 10.0
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 10.0
    stage: int = 0  # those of the last stage are ended first
    workplace: Path | None = None  # whatever works in this folder is killed with the child

    @property
    def environment(self) -> dict[str, str]:
        """The inherited environment under the child's own; settings ignore the case of names."""
        own = {name.upper() for name in self.env}
        inherited = {k: v for k, v in os.environ.items() if k.upper() not in own}
        return inherited | dict(self.env)


class Process:
    """A child that was started: the leader of a session and process group of its own."""

    def __init__(self, child: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        self.child = child
        self.pid = process.pid
        self._process = process
        self._lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(cls, child: ProcessSpec, output: Output, announce: Announce) -> Self:
        """Start a child; it writes to the output, or to its log file if it has one.

        It does nothing before its process id was announced, so that no death of ours can fall
        between the two and leave a child that nobody knows.

        Raises:
            CannotStart: the program can't be run.
        """
        if child.log is not None:
            with child.log.open("ab") as log:
                return cls(child, await _execute(child, log.fileno(), announce))
        # asyncio's own pipe would let wait() last until every grandchild has closed it
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb"), os.fdopen(read_end, "rb") as pipe:
            self = cls(child, await _execute(child, write_end, announce))
            self._reading = asyncio.create_task(self._read(os.dup(pipe.fileno()), output))
        return self

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the child runs."""
        return self._process.returncode

    @property
    def outcome(self) -> str:
        """How the child ended, in words."""
        code = self.returncode
        if code is None:
            return "runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    async def ended(self, within_seconds: float | None = None) -> bool:
        """Wait for the child's end, for a time at most, and say whether it ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._process.wait()
        return self.returncode is not None

    async def ask_to_end(self) -> None:
        """Tell the child to end and give it its grace."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, self.child.stop_signal)  # asyncio's own could reap the child here
            await self.ended(self.child.grace_seconds)

    async def kill(self) -> None:
        """Kill the child's whole group and wait for its end."""
        self.kill_group()
        await self.ended()
        if self.child.workplace is not None:
            # psutil comes with the embedded servers, and containers have neither
            from app.supervisor.directory_cleanup import kill_all_in  # noqa: PLC0415  # same

            await asyncio.to_thread(kill_all_in, self.child.workplace)
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_LAST_LINES_SECONDS)
            self._reading.cancel()

    def kill_group(self) -> None:
        """Send SIGKILL to the child's whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def log_tail(self) -> str:
        """Return the last lines that the child wrote."""
        if self.child.log is not None:
            return _tail(self.child.log)
        return "\n".join(self._lines)

    async def _read(self, read_end: int, output: Output) -> None:
        async with aclosing(lines_of(read_end)) as lines:
            async for line in lines:
                self._lines.append(line)
                output.line(self.child.name, line)


async def _execute(child: ProcessSpec, out: int, announce: Announce) -> asyncio.subprocess.Process:
    environment = child.environment
    if shutil.which(child.argv[0], path=environment.get("PATH")) is None:
        raise CannotStart(f"{child.name} can't be run: there is no program {child.argv[0]}")
    gate, opener = os.pipe()
    with os.fdopen(gate, "rb"), os.fdopen(opener, "wb") as door:
        try:
            process = await asyncio.create_subprocess_exec(
                *_ONCE_TOLD,
                *child.argv,
                stdin=gate,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                cwd=child.cwd,
                env=environment,
                start_new_session=True,
                **identity(child.user),
            )
        except OSError as error:
            raise CannotStart(f"{child.name} can't be run: {error}") from error
        announce(process.pid)
        door.write(b"\n")
    return process


def identity(user: str | None) -> dict[str, Any]:
    """Return what makes a subprocess run as a user, in none of our groups."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}


def _tail(file: Path) -> str:
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-_REMEMBERED_LINES:])
