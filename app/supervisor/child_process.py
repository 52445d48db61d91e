"""A child process: its specification, its start, its output and its end."""

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

from app.supervisor.output import Output, read_lines
from app.supervisor.probes import Probe

OnSpawn = Callable[[int], None]

# The child runs its program only after it was sent a line.
_WAIT_FOR_LINE: Final = ("/bin/sh", "-c", 'read -r line && exec "$@" </dev/null', "sh")
_TAIL_LINES: Final = 15
_TAIL_BYTES: Final = 4096
_OUTPUT_TIMEOUT_SECONDS: Final = 0.5


class CannotStart(Exception):
    """A process that the others need can't start; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessSpec:
    """What to run, and how to see that it is ready and still alive."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    log_file: Path | None = None  # instead of the supervisor's own output
    ready_probe: Probe | None = None
    ready_timeout_seconds: float = 30.0
    liveness_probe: Probe | None = None
    probe_interval_seconds: float = 1.0
    liveness_timeout_seconds: float = 10.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    stage: int = 0  # the highest stage is stopped first
    clean_up: Callable[[], None] | None = None  # called after the child was killed

    @property
    def environment(self) -> dict[str, str]:
        """The inherited environment under the child's own; settings ignore the case of names."""
        own = {name.upper() for name in self.env}
        inherited = {k: v for k, v in os.environ.items() if k.upper() not in own}
        return inherited | dict(self.env)


class Process:
    """A child that was started: the leader of a session and process group of its own."""

    def __init__(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self.pid = process.pid
        self._process = process
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(cls, spec: ProcessSpec, output: Output, on_spawn: OnSpawn) -> Self:
        """Start a child; it writes to the output, or to its log file if it has one.

        The child waits until `on_spawn` has received its process id. If this process is killed
        before that, the child ends too, so no child runs that nobody knows of.

        Raises:
            CannotStart: the program can't be run.
        """
        if spec.log_file is not None:
            with spec.log_file.open("ab") as log:
                return cls(spec, await _spawn_waiting(spec, log.fileno(), on_spawn))
        # asyncio's own pipe would let wait() last until every grandchild has closed it
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb"), os.fdopen(read_end, "rb") as pipe:
            self = cls(spec, await _spawn_waiting(spec, write_end, on_spawn))
            self._reader = asyncio.create_task(self._read(os.dup(pipe.fileno()), output))
        return self

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the child runs."""
        return self._process.returncode

    @property
    def exit_description(self) -> str:
        """How the child ended, in words."""
        code = self.returncode
        if code is None:
            return "runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for the child's end, for a time at most; return whether it ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._process.wait()
        return self.returncode is not None

    async def terminate(self) -> None:
        """Send the child its stop signal and wait for its end, for its stop timeout at most."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, self.spec.stop_signal)  # asyncio's own could reap the child here
            await self.wait(self.spec.stop_timeout_seconds)

    async def kill(self) -> None:
        """Kill the child's whole group, wait for its end and for the rest of its output."""
        self.kill_group()
        await self.wait()
        if self.spec.clean_up is not None:
            await asyncio.to_thread(self.spec.clean_up)
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=_OUTPUT_TIMEOUT_SECONDS)
            self._reader.cancel()

    def kill_group(self) -> None:
        """Send SIGKILL to the child's whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def log_tail(self) -> str:
        """Return the last lines that the child wrote."""
        if self.spec.log_file is None:
            return "\n".join(self._lines)
        with self.spec.log_file.open("rb") as log:
            log.seek(max(0, self.spec.log_file.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    async def _read(self, read_end: int, output: Output) -> None:
        async with aclosing(read_lines(read_end)) as lines:
            async for line in lines:
                self._lines.append(line)
                output.write_line(self.spec.name, line)


async def _spawn_waiting(
    spec: ProcessSpec, out: int, on_spawn: OnSpawn
) -> asyncio.subprocess.Process:
    environment = spec.environment
    if shutil.which(spec.argv[0], path=environment.get("PATH")) is None:
        raise CannotStart(f"{spec.name} can't be run: there is no program {spec.argv[0]}")
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "wb") as gate:
        try:
            process = await asyncio.create_subprocess_exec(
                *_WAIT_FOR_LINE,
                *spec.argv,
                stdin=read_end,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                **run_as(spec.user),
            )
        except OSError as error:
            raise CannotStart(f"{spec.name} can't be run: {error}") from error
        on_spawn(process.pid)
        gate.write(b"\n")
    return process


def run_as(user: str | None) -> dict[str, Any]:
    """Return the arguments with which a subprocess runs as a user, in none of our groups."""
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}
