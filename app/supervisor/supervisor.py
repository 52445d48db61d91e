"""The supervisor: starts children, keeps them running, and ends all of them with itself."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from app.supervisor.liveness import why_dead, why_unready
from app.supervisor.orphan_reaper import OrphanReaper
from app.supervisor.output import Output
from app.supervisor.processes import CannotStart, Process, ProcessSpec

_GUARDIAN_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """How fast a child that died is started again."""

    delays: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0)
    settled_seconds: float = 30.0  # who ran this long is forgiven

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self.delays[min(failures, len(self.delays)) - 1]


class Supervisor:
    """Owns child processes from their start to their end."""

    def __init__(
        self, output: Output, *, pace: RestartBackoff | None = None, keeps_open: Sequence[int] = ()
    ) -> None:
        self._output = output
        self._pace = pace or RestartBackoff()
        self._guardian = OrphanReaper(keeps_open=keeps_open)
        self._processes: dict[str, Process] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self._asked_to_end = asyncio.Event()
        self._guarding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._guarding = asyncio.create_task(self._keep_guardian())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def start(self, child: ProcessSpec) -> None:
        """Start a child, wait until it is ready, and keep it running from then on.

        Raises:
            CannotStart: it can't be run, ended, or was not ready in time.
        """
        process = await self._spawn(child)
        if trouble := await why_unready(process):
            raise _cannot_start(process, trouble)
        self._keepers.add(asyncio.create_task(self._keep(process), name=child.name))

    async def run(self, child: ProcessSpec) -> None:
        """Run a child to its end.

        Raises:
            CannotStart: it can't be run, or failed.
        """
        process = await self._spawn(child)
        await process.ended()
        await self._clean_up(process)
        if process.returncode != 0:
            raise _cannot_start(process, process.outcome)

    async def run_until_signal(self, start: Callable[[], Awaitable[None]]) -> None:
        """Start children by the function given and keep them until a signal asks for the end.

        The first signal ends everything, also in the middle of the start; a second one kills.

        Raises:
            CannotStart: what the function raised.
        """
        with _signals_to(self._on_signal):
            async with self:
                work = asyncio.create_task(self._work(start))
                asked = asyncio.create_task(self._asked_to_end.wait())
                await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
                if not asked.done():
                    asked.cancel()
                    await work
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def end(self) -> None:
        """End all children, those of the last stage first, and whatever they started."""
        keepers = [*self._keepers, *([self._guarding] if self._guarding else [])]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        processes = list(self._processes.values())
        for stage in sorted({process.child.stage for process in processes}, reverse=True):
            await asyncio.gather(*(self._end(p) for p in processes if p.child.stage == stage))
        self._guardian.close()

    def pid(self, name: str) -> int | None:
        """Return the process id of a child, None while it does not run."""
        process = self._processes.get(name)
        return None if process is None else process.pid

    def _on_signal(self) -> None:
        if self._asked_to_end.is_set():
            for process in self._processes.values():
                process.kill_group()
        self._asked_to_end.set()

    async def _work(self, start: Callable[[], Awaitable[None]]) -> None:
        await start()
        await asyncio.gather(*self._keepers)

    async def _spawn(self, child: ProcessSpec) -> Process:
        def announce(pid: int) -> None:
            self._guardian.watch(pid, child.stop_signal)

        process = await Process.spawn(child, self._output, announce)
        self._processes[child.name] = process
        return process

    async def _end(self, process: Process) -> None:
        await process.ask_to_end()
        await self._clean_up(process)

    async def _clean_up(self, process: Process) -> None:
        """Kill what is left of a child and forget it, for its number may be used again."""
        await process.kill()
        self._guardian.forget(process.pid)
        del self._processes[process.child.name]

    async def _keep(self, process: Process) -> None:
        """Start a child again whenever it ended or hangs."""
        clock, failures = asyncio.get_running_loop().time, 0
        began, trouble = clock(), await why_dead(process)
        while True:
            failures = 1 if clock() - began > self._pace.settled_seconds else failures + 1
            await self._clean_up(process)
            process = await self._restart(
                process.child, f"{process.child.name} {trouble}", failures
            )
            began, trouble = clock(), await why_unready(process) or await why_dead(process)

    async def _keep_guardian(self) -> None:
        while True:
            await asyncio.sleep(_GUARDIAN_LOOK_SECONDS)
            with suppress(OSError):  # no memory, no free process: that may pass
                if self._guardian.revive():
                    self._output.note("the orphan_reaper died; started it again")

    async def _restart(self, child: ProcessSpec, what: str, failures: int) -> Process:
        while True:
            delay = self._pace.delay(failures)
            when = f"in {delay:g} s" if delay else "now"
            self._output.note(f"{what}; starting it again {when}")
            await asyncio.sleep(delay)
            try:
                return await self._spawn(child)
            except CannotStart as error:  # no memory, no free process: that may pass
                what, failures = str(error), failures + 1


async def together(*starts: Coroutine[Any, Any, object]) -> None:
    """Await several starts side by side; the first failure ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _cannot_start(process: Process, trouble: str) -> CannotStart:
    words = process.log_tail()
    return CannotStart(f"{process.child.name} {trouble}" + (f":\n{words}" if words else ""))


@contextmanager
def _signals_to(handler: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means what it says
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
