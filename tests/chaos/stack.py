"""The whole service as `python -m app run` starts it, and every process of it within reach."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import psutil  # type: ignore[import-untyped]  # it ships no types
from dotenv import dotenv_values

from tests.chaos.service import printed
from tests.processes import Process, Processes
from tests.waiting import until

START_SECONDS = 90
END_SECONDS = 60
LOOK_SECONDS = 0.1


class Stack:
    """A supervisor with its children, started again as often as a scenario wants."""

    def __init__(self, processes: Processes, env: Mapping[str, str]) -> None:
        self._processes = processes
        self._env = env
        self._supervisor: Process | None = None

    async def start(self) -> None:
        """Start everything, and wait until it runs."""
        supervisor = self._processes.start("app", "run", env=self._env)
        self._supervisor = supervisor
        await until(lambda: _runs(supervisor), START_SECONDS)

    @property
    def database_url(self) -> str:
        return self._url("DATABASE_URL")

    @property
    def redis_url(self) -> str:
        return self._url("REDIS_URL")

    async def command(self, *words: str) -> str:
        return await printed(self._processes.start("app", *words, env=self._env))

    def child(self, name: str) -> psutil.Process:
        """Find a child of the supervisor by its command or its program."""
        return next(child for child in self._parent().children() if name in _names(child))

    async def kill_at_every_start(self, name: str) -> NoReturn:
        """Kill a child again and again, as soon as it is there."""
        while True:
            for child in self._parent().children():
                if name in _names(child):
                    child.kill()
            await asyncio.sleep(LOOK_SECONDS)

    async def kill(self) -> None:
        """End all of it at once, as a power cut would."""
        parent = self._parent()
        parent.suspend()  # or it would start again what dies
        family = parent.children(recursive=True)
        for process in (*family, parent):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self._ended()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, END_SECONDS)
        assert not alive

    async def end(self) -> None:
        """Ask it to end; kill what does not."""
        if self._supervisor is None or self._supervisor.popen.poll() is not None:
            return
        self._supervisor.popen.send_signal(signal.SIGTERM)
        try:
            await self._ended()
        finally:
            if self._supervisor.popen.poll() is None:
                await self.kill()

    def _url(self, name: str) -> str:
        home = self._processes.settings.data_dir
        told = self._env.get(name) or dotenv_values(home / "servers.env")[name]
        assert told is not None
        return told

    def _parent(self) -> psutil.Process:
        assert self._supervisor is not None
        return psutil.Process(self._supervisor.popen.pid)

    async def _ended(self) -> None:
        assert self._supervisor is not None
        await asyncio.to_thread(self._supervisor.popen.wait, END_SECONDS)


@asynccontextmanager
async def running_stack(processes: Processes, **env: str) -> AsyncIterator[Stack]:
    """Run everything as long as the context lasts, but the servers that `env` names."""
    stack = Stack(processes, env)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.end()


async def _runs(supervisor: Process) -> bool:
    assert supervisor.popen.poll() is None, supervisor.output
    return "Everything runs." in supervisor.output


def _names(process: psutil.Process) -> set[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return {process.name(), *process.cmdline()[-1:]}
    return set()
