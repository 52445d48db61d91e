"""Servers of a test's own, which it may stop and start."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.supervisor.probes import probe_succeeds
from app.supervisor.processes import ProcessSpec, run_as
from tests.waiting import until


class Private:
    """A server that runs from `start` to `stop`, again and again."""

    def __init__(self, child: ProcessSpec, url: str) -> None:
        self.url = url
        self._child = child
        self._popen: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        assert self._child.ready_probe is not None
        ready = self._child.ready_probe
        self._popen = subprocess.Popen(  # noqa: ASYNC220, S603  # the server's own program
            self._child.argv,
            **run_as(self._child.user),
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await until(lambda: probe_succeeds(ready))

    async def stop(self) -> None:
        if self._popen is not None:
            self._popen.send_signal(self._child.stop_signal)
            await asyncio.to_thread(self._popen.wait, 20)
            self._popen = None


@asynccontextmanager
async def private_postgres(directory: Path) -> AsyncIterator[Private]:
    """A running PostgreSQL below a directory that others may enter."""
    server = await asyncio.to_thread(Postgres.take_over, directory / "postgres", fast=True)
    private = Private(server.spec(directory / "postgres.log"), server.url)
    await private.start()
    try:
        yield private
    finally:
        await private.stop()


@asynccontextmanager
async def private_valkey(directory: Path) -> AsyncIterator[Private]:
    """A running Valkey below a directory."""
    server = Valkey.take_over(directory / "valkey")
    private = Private(server.spec(directory / "valkey.log"), server.url)
    await private.start()
    try:
        yield private
    finally:
        await private.stop()
