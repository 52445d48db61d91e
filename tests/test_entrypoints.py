"""What each process of the service loads: its memory is mostly modules."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.processes import PROJECT, environment
from tests.waiting import until

LOADED_MODULES_PROGRAM = """
import atexit, json, os, runpy, signal, sys
from pathlib import Path

started_by = os.getpid()

def tell():
    if os.getpid() == started_by:
        Path(os.environ["MODULES"]).write_text(json.dumps(sorted(sys.modules)))

atexit.register(tell)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
runpy.run_module("app", run_name="__main__", alter_sys=True)
"""
CONNECTED_PIDS = r"""
SELECT substring(application_name FROM 'prices (\d+)') FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'prices %'
"""
WEB = {"fastapi", "starlette", "uvicorn"}
COMMAND_LINES = {"typer", "rich", "click_repl", "prompt_toolkit"}
COLLECTING = {"sqlalchemy", "asyncpg", "aiohttp"}
UNWANTED = {
    "api": {"celery", "kombu", "aiohttp", "pyarrow", "alembic"} | COMMAND_LINES,
    "worker": {"pyarrow", "alembic"} | WEB | COMMAND_LINES,
    "beat": {"pyarrow", "alembic"} | WEB | COMMAND_LINES | COLLECTING,
    "demo": {"sqlalchemy", "asyncpg", "aiohttp", "celery", "redis", "pyarrow", "alembic"}
    | {"structlog"}
    | WEB
    | COMMAND_LINES,
}


@contextmanager
def running_role(
    role: str, folder: Path, env: dict[str, str], *options: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run `python -m app` with a role, which tells at its end what it has loaded."""
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-c", LOADED_MODULES_PROGRAM, role, *options],
        env={**env, "MODULES": str(folder / "modules"), "PYTHONPATH": str(PROJECT)},
        cwd=folder,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def loaded_packages(folder: Path) -> set[str]:
    modules: list[str] = json.loads((folder / "modules").read_text())
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_celerys_processes_load_only_what_they_need(
    role: str, settings: Settings, tmp_path: Path
) -> None:
    heartbeat = tmp_path / "heartbeat"
    with running_role(role, tmp_path, environment(settings, HEARTBEAT_FILE=str(heartbeat))):
        await until(lambda: asyncio.to_thread(heartbeat.exists), 60)
    assert "kombu" in loaded_packages(tmp_path)
    assert loaded_packages(tmp_path) & UNWANTED[role] == set()


async def test_api_that_is_only_read_from_loads_no_celery(
    settings: Settings, tmp_path: Path
) -> None:
    port = free_port()

    async def is_listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running_role("api", tmp_path, environment(settings, API_PORT=str(port))):
        await until(is_listening, 60)
    assert "fastapi" in loaded_packages(tmp_path)
    assert loaded_packages(tmp_path) & UNWANTED["api"] == set()


def test_supervisor_loads_nothing_of_what_its_children_do(tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        with running_role("demo", tmp_path, {**env, "API_PORT": port}) as demo:
            assert demo.wait(60) == 1
            assert demo.stderr
            assert b"is not free" in demo.stderr.read()
    assert "asyncio" in loaded_packages(tmp_path)
    assert loaded_packages(tmp_path) & UNWANTED["demo"] == set()


async def test_workers_children_share_what_it_loaded(
    settings: Settings, tmp_path: Path, sql: asyncpg.Connection
) -> None:
    """A page of memory that a collection of garbage wrote to would be a child's own."""

    async def connected_children() -> list[psutil.Process]:
        pids = [int(name) for (name,) in await sql.fetch(CONNECTED_PIDS)]
        return [child for child in psutil.Process(worker.pid).children() if child.pid in pids]

    with running_role("worker", tmp_path, environment(settings)) as worker:
        await until(connected_children, 60)  # it repairs at its start
        (child, *_) = await connected_children()
        memory = child.memory_full_info()
        assert memory.uss < memory.rss / 2
