"""Workers and beats in any number, on a database and a broker of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from tests.chaos.servers import Server, own_server
from tests.chaos.service import printed
from tests.processes import Processes


@dataclass
class Crew(Processes):
    """Starts processes that know both servers."""

    redis: Server = field(kw_only=True)

    @property
    def database_url(self) -> str:
        url = self.settings.database_url
        assert url is not None
        return url.get_secret_value()

    async def command(self, *words: str) -> str:
        return await printed(self.start("app", *words))


@asynccontextmanager
async def open_crew(processes: Processes, home: Path, **env: str) -> AsyncIterator[Crew]:
    """Run both servers, migrated, as long as the context lasts; whatever is started ends first.

    The servers' environment holds `env` too.
    """
    async with (
        own_server(home, "DATABASE_URL", **env) as postgres,
        own_server(home, "REDIS_URL", **env) as redis,
    ):
        urls = {"database_url": SecretStr(postgres.url), "redis_url": SecretStr(redis.url)}
        settings = processes.settings.model_copy(update=urls)
        with Crew(settings, processes.directory, redis=redis) as crew:
            await crew.command("migrate")
            yield crew
