"""A database and a broker that a scenario stops and starts itself."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from app.embedded.servers import prepare_servers
from app.supervisor.child_process import ProcessSpec, run_as
from app.supervisor.probes import probe_succeeds
from tests.waiting import until

STOP_TIMEOUT_SECONDS = 30
AWAY_SECONDS = 20


class Server:
    """One server that can be stopped, killed and started again."""

    def __init__(self, child: ProcessSpec, url: str, env: Mapping[str, str]) -> None:
        self.url = url
        self._env = env
        self._child = child
        self._popen: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._child.ready_probe is not None
        assert self._child.log_file is not None
        ready = self._child.ready_probe
        with self._child.log_file.open("ab") as log:
            self._popen = subprocess.Popen(  # noqa: ASYNC220, S603  # the server's own program
                self._child.argv,
                **run_as(self._child.user),
                env={**self._child.environment, **self._env},
                cwd="/",
                stdout=log,
                stderr=log,
            )
        await until(lambda: probe_succeeds(ready))

    async def stop(self) -> None:
        """Ask it to end and wait until it did."""
        if self._popen is not None:
            self._popen.send_signal(self._child.stop_signal)
            await asyncio.to_thread(self._popen.wait, STOP_TIMEOUT_SECONDS)
            self._popen = None

    async def kill(self) -> None:
        """End it as a crash would."""
        if self._popen is not None:
            self._popen.kill()
            await asyncio.to_thread(self._popen.wait, STOP_TIMEOUT_SECONDS)
            self._popen = None

    async def restart_after_outage(self) -> None:
        """Stop it for long enough to lose slots, then start it again."""
        await self.stop()
        await asyncio.sleep(AWAY_SECONDS)
        await self.start()


@asynccontextmanager
async def running_server(directory: Path, name: str, **env: str) -> AsyncIterator[Server]:
    """Run the server behind a setting below a directory."""
    embedded = await prepare_servers(directory, [name])
    server = Server(embedded.specs[name], embedded.urls[name], env)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
