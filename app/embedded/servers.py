"""The embedded servers, PostgreSQL and Valkey, started together in a directory of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.supervisor.output import NullOutput
from app.supervisor.processes import ProcessSpec
from app.supervisor.supervisor import Supervisor, together

DATABASE_URL: Final = "DATABASE_URL"
REDIS_URL: Final = "REDIS_URL"
EMBEDDED: Final = (DATABASE_URL, REDIS_URL)

_MAX_LOG_BYTES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Embedded:
    """The servers that are embedded, made ready to start, and where they will be found."""

    children: Mapping[str, ProcessSpec]
    urls: Mapping[str, str]

    @property
    def database_url(self) -> str:
        """The `DATABASE_URL` of the embedded PostgreSQL."""
        return self.urls[DATABASE_URL]

    @property
    def redis_url(self) -> str:
        """The `REDIS_URL` of the embedded Valkey."""
        return self.urls[REDIS_URL]


async def embed(
    directory: Path,
    names: Collection[str] = EMBEDDED,
    *,
    fast: bool = False,
    max_connections: int = 100,
) -> Embedded:
    """Make the servers behind these settings ready to start below a directory.

    `fast` trades durability for speed, for tests.

    Raises:
        SettingsError: a server does not exist for this machine.
        CannotStart: the database's files could not be made.
    """
    preparing: dict[str, Callable[[], Postgres | Valkey]] = {
        DATABASE_URL: partial(
            Postgres.prepare, directory / "postgres", fast=fast, max_connections=max_connections
        ),
        REDIS_URL: partial(Valkey.prepare, directory / "valkey"),
    }
    servers = await asyncio.gather(*(asyncio.to_thread(preparing[name]) for name in names))
    return Embedded(
        children={
            name: s.child(_log(directory, s)) for name, s in zip(names, servers, strict=True)
        },
        urls={name: s.url for name, s in zip(names, servers, strict=True)},
    )


@asynccontextmanager
async def running_servers(
    directory: Path, *, fast: bool = False, max_connections: int = 100
) -> AsyncIterator[Embedded]:
    """Run both servers as long as the context lasts.

    Raises:
        SettingsError: a server does not exist for this machine.
        CannotStart: a server did not get ready.
    """
    embedded = await embed(directory, fast=fast, max_connections=max_connections)
    async with Supervisor(NullOutput()) as supervisor:
        await together(*map(supervisor.start, embedded.children.values()))
        yield embedded


@contextmanager
def embedded_servers(
    directory: Path, *, fast: bool = False, max_connections: int = 100
) -> Iterator[Embedded]:
    """Run both servers as long as the context lasts, for callers without an event loop.

    In between nobody watches them: a server that dies stays dead.
    """
    servers = running_servers(directory, fast=fast, max_connections=max_connections)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        entered = runner.run(servers.__aenter__())
        try:
            yield entered
        finally:
            runner.run(servers.__aexit__(None, None, None))


def _log(directory: Path, server: Postgres | Valkey) -> Path:
    """Return where a server logs; a long log of earlier starts is put aside."""
    log = directory / "logs" / f"{server.directory.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log
