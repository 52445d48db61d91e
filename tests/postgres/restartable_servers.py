"""PostgreSQL and Valkey servers that a test can stop and start again."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
from pydantic import SecretStr

from app.core.settings import Settings
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.supervisor.child_process import ProcessSpec, run_as
from app.supervisor.probes import probe_succeeds
from tests.processes import Processes
from tests.waiting import until


class RestartableServer:
    """A server that can be stopped and started again."""

    def __init__(self, spec: ProcessSpec, url: str) -> None:
        self.url = url
        self._spec = spec
        self._popen: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        assert self._spec.ready_probe is not None
        ready = self._spec.ready_probe
        self._popen = subprocess.Popen(  # noqa: ASYNC220, S603  # the server's own program
            self._spec.argv,
            **run_as(self._spec.user),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await until(lambda: probe_succeeds(ready))

    async def stop(self) -> None:
        if self._popen is not None:
            self._popen.send_signal(self._spec.stop_signal)
            await asyncio.to_thread(self._popen.wait, 20)
            self._popen = None

    async def kill(self) -> None:
        assert self._popen is not None
        self._popen.kill()
        await asyncio.to_thread(self._popen.wait, 20)
        self._popen = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Suspend all its processes: it accepts connections while the block runs, and is silent."""
        assert self._popen is not None
        server = psutil.Process(self._popen.pid)
        server.suspend()  # so that it starts no more processes
        suspended = [server, *server.children(recursive=True)]
        for process in suspended:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in suspended:
                with suppress(psutil.NoSuchProcess):
                    process.resume()


@asynccontextmanager
async def _running(spec: ProcessSpec, url: str) -> AsyncIterator[RestartableServer]:
    server = RestartableServer(spec, url)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def restartable_postgres(directory: Path) -> AsyncIterator[RestartableServer]:
    """A running PostgreSQL below a directory that others may enter."""
    server = await asyncio.to_thread(Postgres.prepare, directory / "postgres", fast=True)
    async with _running(server.spec(directory / "postgres.log"), server.url) as running:
        yield running


@asynccontextmanager
async def restartable_valkey(directory: Path) -> AsyncIterator[RestartableServer]:
    """A running Valkey below a directory."""
    server = Valkey.prepare(directory / "valkey")
    async with _running(server.spec(directory / "valkey.log"), server.url) as running:
        yield running


async def migrate(server: RestartableServer, settings: Settings, logs: Path) -> Settings:
    """Create the tables; return the settings of a service on this server."""
    own_settings = settings.model_copy(update={"database_url": SecretStr(server.url)})
    with Processes(own_settings, logs) as processes:
        migration = processes.start("app", "migrate")
        assert await asyncio.to_thread(migration.popen.wait, 60) == 0, migration.output
    return own_settings
