"""The end of an API process whose database hangs."""

import asyncio
import signal
from pathlib import Path

from app.core.settings import Settings
from tests.api.client import ApiClient, open_api_client
from tests.api.test_outages import free_port
from tests.postgres.restartable_servers import migrate, restartable_postgres
from tests.processes import Process, Processes
from tests.waiting import until

MAX_SECONDS = 5.0


async def test_api_ends_in_time_while_postgresql_hangs(
    settings: Settings, database_name: str, directory: Path, tmp_path: Path
) -> None:
    folder = directory / f"hanging-{database_name}"
    folder.mkdir(mode=0o755)
    port = free_port()
    async with restartable_postgres(folder) as server:
        own_settings = await migrate(
            server, settings.model_copy(update={"api_port": port}), tmp_path
        )
        with Processes(own_settings, tmp_path) as processes:
            process = processes.start("app", "api")
            async with open_api_client(f"http://127.0.0.1:{port}") as api:
                await until(lambda: _answers(process, api, 200), 40)
                with server.hanging():
                    await until(lambda: _answers(process, api, 503))
                    ended = await asyncio.to_thread(process.stop, MAX_SECONDS)
    assert ended in {0, -signal.SIGTERM}  # uvicorn ends itself by the signal again
    assert "Traceback" not in process.output


async def _answers(process: Process, api: ApiClient, status: int) -> bool:
    assert process.popen.poll() is None, process.output
    try:
        return (await api.get("/health/ready")).status == status
    except OSError:
        return False
