"""The embedded servers, PostgreSQL and Valkey, in a directory of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.supervisor.child_process import ProcessSpec
from app.supervisor.output import Output
from app.supervisor.supervisor import Supervisor, start_concurrently

DATABASE_URL: Final = "DATABASE_URL"
REDIS_URL: Final = "REDIS_URL"
SERVER_SETTINGS: Final = (DATABASE_URL, REDIS_URL)

_MAX_LOG_BYTES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """The servers that are embedded: how to start them, and their addresses.

    Both mappings have the names of settings as keys, such as `DATABASE_URL`.
    """

    specs: Mapping[str, ProcessSpec]
    urls: Mapping[str, str]

    @property
    def database_url(self) -> str:
        """The `DATABASE_URL` of the embedded PostgreSQL."""
        return self.urls[DATABASE_URL]

    @property
    def redis_url(self) -> str:
        """The `REDIS_URL` of the embedded Valkey."""
        return self.urls[REDIS_URL]


async def prepare_servers(
    directory: Path,
    names: Collection[str] = SERVER_SETTINGS,
    *,
    fast: bool = False,
    max_connections: int = 100,
) -> EmbeddedServers:
    """Prepare the servers of these settings to be started below a directory.

    `fast` trades durability for speed, for tests.

    Raises:
        SettingsError: this machine lacks a server.
        CannotStart: the database's files could not be created.
    """
    prepare: dict[str, Callable[[], Postgres | Valkey]] = {
        DATABASE_URL: partial(
            Postgres.prepare, directory / "postgres", fast=fast, max_connections=max_connections
        ),
        REDIS_URL: partial(Valkey.prepare, directory / "valkey"),
    }
    prepared = await asyncio.gather(*(asyncio.to_thread(prepare[name]) for name in names))
    servers = dict(zip(names, prepared, strict=True))
    return EmbeddedServers(
        specs={name: s.spec(_log_file(directory, s)) for name, s in servers.items()},
        urls={name: s.url for name, s in servers.items()},
    )


@asynccontextmanager
async def running_servers(
    directory: Path, *, fast: bool = False, max_connections: int = 100
) -> AsyncIterator[EmbeddedServers]:
    """Run both servers as long as the context lasts.

    Raises:
        SettingsError: this machine lacks a server.
        CannotStart: a server did not get ready.
    """
    servers = await prepare_servers(directory, fast=fast, max_connections=max_connections)
    async with Supervisor(Output()) as supervisor:
        await start_concurrently(*map(supervisor.start, servers.specs.values()))
        yield servers


@contextmanager
def embedded_servers(
    directory: Path, *, fast: bool = False, max_connections: int = 100
) -> Iterator[EmbeddedServers]:
    """Run both servers as long as the context lasts, for callers without an event loop.

    A server that dies is not restarted.
    """
    servers = running_servers(directory, fast=fast, max_connections=max_connections)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        entered = runner.run(servers.__aenter__())
        try:
            yield entered
        finally:
            runner.run(servers.__aexit__(None, None, None))


def _log_file(directory: Path, server: Postgres | Valkey) -> Path:
    """Return a server's log file; a long one of earlier starts is renamed first."""
    log = directory / "logs" / f"{server.directory.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log
