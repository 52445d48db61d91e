"""The API as its users start it."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from tests.api.client import open_api_client
from tests.api.test_outages import free_port
from tests.processes import Process, Processes
from tests.waiting import until

SERVICE_CONNECTIONS = (
    "SELECT application_name FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'prices %'"
)
COMMANDS = [("app", "api"), ("uvicorn", "app.main:app", "--port=0")]


async def _wait_for_exit(process: Process) -> int:
    return await asyncio.to_thread(process.popen.wait, 60)


def _error_line(process: Process, code: str) -> str:
    """Look for the one line that tells why, and give it."""
    lines = [line for line in process.output.splitlines() if f"{code}: " in line]
    assert len(lines) == 1, process.output
    assert "Traceback" not in process.output
    assert process.popen.returncode != 0
    return lines[0]


async def test_taken_port_is_told_in_one_line_that_names_the_setting(
    settings: Settings, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with Processes(settings.model_copy(update={"api_port": port}), tmp_path) as processes:
            process = processes.start("app", "api")
            await _wait_for_exit(process)
        assert f"API_PORT={port}: " in _error_line(process, "settings_invalid")


async def test_several_workers_answer_and_end_together(
    settings: Settings, tmp_path: Path, sql: asyncpg.Connection
) -> None:
    port = free_port()
    two_workers = settings.model_copy(update={"api_workers": 2, "api_port": port})
    with Processes(two_workers, tmp_path) as processes:
        process = processes.start("app", "api")
        seen: set[str] = set()

        async def both_started() -> bool:
            return process.output.count("Application startup complete") == 2

        async def both_answered() -> bool:
            async with open_api_client(f"http://127.0.0.1:{port}") as api:
                answers = await asyncio.gather(*(api.get("/api/v1/tickers") for _ in range(20)))
            assert {answer.status for answer in answers} == {200}
            seen.update(row[0] for row in await sql.fetch(SERVICE_CONNECTIONS))
            return len(seen) == 2

        await until(both_started, 40)
        await until(both_answered, 40)
        family = psutil.Process(process.popen.pid).children(recursive=True)
        assert len(family) >= 2
        assert await asyncio.to_thread(process.stop) == 0
        gone, left = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert (len(gone), left) == (len(family), [])
        assert "Traceback" not in process.output


@pytest.mark.parametrize("command", COMMANDS)
async def test_outdated_schema_ends_the_start_with_one_line(
    settings: Settings, tmp_path: Path, sql: asyncpg.Connection, command: tuple[str, ...]
) -> None:
    await sql.execute("DELETE FROM alembic_version")
    with Processes(settings, tmp_path) as processes:
        process = processes.start(*command)
        assert await _wait_for_exit(process) != 0
    assert "alembic upgrade head" in _error_line(process, "schema_outdated")


@pytest.mark.parametrize("command", COMMANDS)
async def test_unreachable_database_ends_the_start_with_one_line(
    settings: Settings, tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = SecretStr("postgresql+asyncpg://user:hush@127.0.0.1:1/prices")
    with Processes(settings.model_copy(update={"database_url": url}), tmp_path) as processes:
        process = processes.start(*command)
        assert await _wait_for_exit(process) != 0
    line = _error_line(process, "database_unavailable")
    assert "make run" in line
    assert "DATABASE_URL" in line
    assert "hush" not in process.output


@pytest.mark.parametrize("missing", ["database_url", "redis_url"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_start_without_servers_ends_with_one_line(
    settings: Settings, tmp_path: Path, command: tuple[str, ...], missing: str
) -> None:
    settings_without_server = settings.model_copy(update={missing: None, "data_dir": tmp_path})
    with Processes(settings_without_server, tmp_path) as processes:
        process = processes.start(*command)
        assert await _wait_for_exit(process) != 0
    line = _error_line(process, "servers_unknown")
    assert "make run" in line
    assert missing.upper() in line


async def test_plain_uvicorn_serves_and_ends(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with Processes(settings, tmp_path) as processes:
        process = processes.start("uvicorn", "app.main:app", f"--port={port}")
        async with open_api_client(f"http://127.0.0.1:{port}") as api:
            await until(_succeeds(lambda: api.get("/health/live")), 40)
            assert (await api.get("/health/ready")).status == 200
            assert (await api.get("/")).status == 200
        await asyncio.to_thread(process.stop)
    assert "Traceback" not in process.output


async def test_logs_are_one_json_object_a_line(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with Processes(settings.model_copy(update={"api_port": port}), tmp_path) as processes:
        process = processes.start("app", "api")
        async with open_api_client(f"http://127.0.0.1:{port}") as api:
            await until(_succeeds(lambda: api.get("/health/live")), 40)
            for _ in range(3):
                await api.get("/api/v1/tickers")
        await asyncio.to_thread(process.stop)
    lines = [json.loads(line) for line in process.output.splitlines()]
    assert lines
    assert not any("/api/v1/tickers" in str(line) for line in lines), "successes are debug"


def _succeeds(request: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[bool]]:
    async def has_answered() -> bool:
        try:
            await request()
        except OSError:
            return False
        return True

    return has_answered
