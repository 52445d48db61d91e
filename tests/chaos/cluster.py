"""Workers and beats in any number, on a database and a broker of their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from tests.chaos.servers import Server, running_server
from tests.chaos.service import wait_for_output
from tests.processes import Processes


@dataclass
class Cluster(Processes):
    """Starts processes that share one PostgreSQL and one Redis."""

    redis: Server = field(kw_only=True)

    @property
    def database_url(self) -> str:
        url = self.settings.database_url
        assert url is not None
        return url.get_secret_value()

    async def command(self, *words: str) -> str:
        return await wait_for_output(self.start("app", *words))


@asynccontextmanager
async def open_cluster(processes: Processes, data_dir: Path, **env: str) -> AsyncIterator[Cluster]:
    """Run both servers, migrated, as long as the context lasts; whatever is started ends first.

    The servers' environment holds `env` too.
    """
    async with (
        running_server(data_dir, "DATABASE_URL", **env) as postgres,
        running_server(data_dir, "REDIS_URL", **env) as redis,
    ):
        urls = {"database_url": SecretStr(postgres.url), "redis_url": SecretStr(redis.url)}
        settings = processes.settings.model_copy(update=urls)
        with Cluster(settings, processes.directory, redis=redis) as cluster:
            await cluster.command("migrate")
            yield cluster
