"""The whole service as `python -m app run` starts it, and every process of it within reach."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import psutil  # type: ignore[import-untyped]  # it ships no types
from dotenv import dotenv_values

from tests.chaos.service import wait_for_output
from tests.processes import Process, Processes
from tests.waiting import until

START_TIMEOUT_SECONDS = 90
STOP_TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.1


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
        await until(lambda: _is_running(supervisor), START_TIMEOUT_SECONDS)

    @property
    def database_url(self) -> str:
        return self._url("DATABASE_URL")

    @property
    def redis_url(self) -> str:
        return self._url("REDIS_URL")

    @property
    def output(self) -> str:
        """What the supervisor and its children printed since the last start."""
        assert self._supervisor is not None
        return self._supervisor.output

    async def command(self, *words: str) -> str:
        return await wait_for_output(self._processes.start("app", *words, env=self._env))

    def child(self, name: str) -> psutil.Process:
        """Find a child of the supervisor by its command or its program."""
        return next(
            child for child in self._supervisor_process().children() if name in _names(child)
        )

    async def kill_at_every_start(self, name: str) -> NoReturn:
        """Kill a child again and again, as soon as it is there."""
        while True:
            for child in self._supervisor_process().children():
                if name in _names(child):
                    child.kill()
            await asyncio.sleep(POLL_SECONDS)

    async def kill(self) -> None:
        """End all of it at once, as a power cut would."""
        parent = self._supervisor_process()
        parent.suspend()  # or it would start again what dies
        family = parent.children(recursive=True)
        for process in (*family, parent):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self._wait_for_end()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, STOP_TIMEOUT_SECONDS)
        assert not alive

    async def end(self) -> None:
        """Ask it to end; kill what does not."""
        if self._supervisor is None or self._supervisor.popen.poll() is not None:
            return
        self._supervisor.popen.send_signal(signal.SIGTERM)
        try:
            await self._wait_for_end()
        finally:
            if self._supervisor.popen.poll() is None:
                await self.kill()

    def _url(self, name: str) -> str:
        data_dir = self._processes.settings.data_dir
        url = self._env.get(name) or dotenv_values(data_dir / "servers.env")[name]
        assert url is not None
        return url

    def _supervisor_process(self) -> psutil.Process:
        assert self._supervisor is not None
        return psutil.Process(self._supervisor.popen.pid)

    async def _wait_for_end(self) -> None:
        assert self._supervisor is not None
        await asyncio.to_thread(self._supervisor.popen.wait, STOP_TIMEOUT_SECONDS)


@asynccontextmanager
async def running_stack(processes: Processes, **env: str) -> AsyncIterator[Stack]:
    """Run everything as long as the context lasts, but the servers that `env` names."""
    stack = Stack(processes, env)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.end()


async def _is_running(supervisor: Process) -> bool:
    assert supervisor.popen.poll() is None, supervisor.output
    return "Everything runs." in supervisor.output


def _names(process: psutil.Process) -> set[str]:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return {process.name(), *process.cmdline()[-1:]}
    return set()
