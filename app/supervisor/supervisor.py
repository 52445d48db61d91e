"""The supervisor: starts child processes, restarts those that fail, and stops all with itself."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from app.supervisor.child_health import readiness_failure, wait_for_failure
from app.supervisor.child_process import CannotStart, Process, ProcessSpec
from app.supervisor.orphan_reaper import OrphanReaper
from app.supervisor.output import Output

_REAPER_CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """How long to wait before a child that failed is started again."""

    delays_seconds: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0)
    reset_after_seconds: float = 30.0  # a child that ran so long starts at the first delay again

    def delay_seconds(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self.delays_seconds[min(failures, len(self.delays_seconds)) - 1]


class Supervisor:
    """Runs child processes and restarts those that end or hang."""

    def __init__(
        self,
        output: Output,
        *,
        backoff: RestartBackoff | None = None,
        inherited_fds: Sequence[int] = (),
    ) -> None:
        self._output = output
        self._backoff = backoff or RestartBackoff()
        self._reaper = OrphanReaper(inherited_fds=inherited_fds)
        self._processes: dict[str, Process] = {}
        self._monitors: set[asyncio.Task[None]] = set()  # of the children, and of the reaper
        self._stop_requested = False

    async def __aenter__(self) -> Self:
        self._monitors.add(asyncio.create_task(self._keep_reaper_alive()))
        return self

    async def start(self, spec: ProcessSpec) -> None:
        """Start a child, wait until it is ready, and keep it running from then on.

        Raises:
            CannotStart: it can't be run, ended, or was not ready in time.
        """
        process = await self._spawn(spec)
        if failure := await readiness_failure(process):
            raise _cannot_start(process, failure)
        self._monitors.add(asyncio.create_task(self._monitor(process), name=spec.name))

    async def run(self, spec: ProcessSpec) -> None:
        """Run a child to its end.

        Raises:
            CannotStart: it can't be run, or failed.
        """
        process = await self._spawn(spec)
        await process.wait()
        await self._clean_up(process)
        if process.returncode != 0:
            raise _cannot_start(process, process.exit_description)

    async def run_until_signal(self, start: Callable[[], Awaitable[None]]) -> None:
        """Call the function that starts the children, and keep them running until a signal comes.

        The first signal stops everything, also in the middle of the start; a second one kills.

        Raises:
            CannotStart: the function raised it.
        """
        async with self:
            children = asyncio.create_task(self._run_children(start))
            _on_signals(partial(self._stop_or_kill, children))
            await asyncio.wait({children})
            if not self._stop_requested:
                children.result()  # raises its error

    async def __aexit__(self, *_: object) -> None:
        """Stop all children, the highest stage first, and whatever they started."""
        for task in self._monitors:
            task.cancel()
        await asyncio.gather(*self._monitors, return_exceptions=True)
        processes = list(self._processes.values())
        for stage in sorted({process.spec.stage for process in processes}, reverse=True):
            await asyncio.gather(*(self._stop(p) for p in processes if p.spec.stage == stage))
        self._reaper.close()

    def pid(self, name: str) -> int | None:
        """Return the process id of a child, None while it does not run."""
        process = self._processes.get(name)
        return None if process is None else process.pid

    def _stop_or_kill(self, children: asyncio.Task[None]) -> None:
        if self._stop_requested:
            for process in self._processes.values():
                process.kill_group()
        self._stop_requested = True
        children.cancel()

    async def _run_children(self, start: Callable[[], Awaitable[None]]) -> None:
        await start()
        await asyncio.gather(*self._monitors)

    async def _spawn(self, spec: ProcessSpec) -> Process:
        def register(pid: int) -> None:
            self._reaper.register(pid, spec.stop_signal)

        process = await Process.spawn(spec, self._output, register)
        self._processes[spec.name] = process
        return process

    async def _stop(self, process: Process) -> None:
        await process.terminate()
        await self._clean_up(process)

    async def _clean_up(self, process: Process) -> None:
        """Kill what is left of a child and forget it: its process id may be used again."""
        await process.kill()
        self._reaper.unregister(process.pid)
        del self._processes[process.spec.name]

    async def _monitor(self, process: Process) -> None:
        """Start a child again whenever it ends or hangs."""
        clock, failures = asyncio.get_running_loop().time, 0
        began = clock()
        failure = await wait_for_failure(process)
        while True:
            failures = 1 if clock() - began > self._backoff.reset_after_seconds else failures + 1
            await self._clean_up(process)
            process = await self._restart(process.spec, f"{process.spec.name} {failure}", failures)
            began = clock()
            failure = await readiness_failure(process) or await wait_for_failure(process)

    async def _keep_reaper_alive(self) -> None:
        while True:
            await asyncio.sleep(_REAPER_CHECK_SECONDS)
            with suppress(OSError):  # no memory, no free process: that may pass
                if self._reaper.restart_if_dead():
                    self._output.write_message("the orphan reaper died; started it again")

    async def _restart(self, spec: ProcessSpec, reason: str, failures: int) -> Process:
        while True:
            delay = self._backoff.delay_seconds(failures)
            when = f"in {delay:g} s" if delay else "now"
            self._output.write_message(f"{reason}; starting it again {when}")
            await asyncio.sleep(delay)
            try:
                return await self._spawn(spec)
            except CannotStart as error:  # no memory, no free process: that may pass
                reason, failures = str(error), failures + 1


async def start_concurrently(*starts: Coroutine[Any, Any, object]) -> None:
    """Await several starts side by side; the first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _cannot_start(process: Process, failure: str) -> CannotStart:
    tail = process.log_tail()
    return CannotStart(f"{process.spec.name} {failure}" + (f":\n{tail}" if tail else ""))


def _on_signals(handler: Callable[[], None]) -> None:
    """Have the signals that end a process call a function; the event loop's end undoes it."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not ignored, as nohup has it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, handler)
