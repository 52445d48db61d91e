"""`run` and `demo`: real servers and a real supervisor around fake processes."""

import asyncio
import json
import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.supervisor.child_programs import PROJECT, is_running, python_command, until

STACK_PROGRAM = """
import sys
from app.embedded import all_in_one
from app.supervisor import service_specs

async def problem():
    return "no such host"

all_in_one.exchange_problem = problem
service_specs.APP_COMMAND = (sys.executable, sys.argv[2])
service_specs.SEED_COMMAND = (*service_specs.APP_COMMAND, "seed")
all_in_one.run_or_exit({"run": all_in_one.run, "demo": all_in_one.demo}[sys.argv[1]])
"""
OTHER_SERVERS = {
    "DATABASE_URL": "postgresql+asyncpg://user@production/prices",
    "REDIS_URL": "redis://production:6379/0",
    "CELERY_BROKER_URL": "amqp://production",
    "DERIBIT_BASE_URL": "https://www.deribit.com/api/v2",
    "PROXY_URL": "http://proxy:3128",
    "PROXY_USERNAME": "user",
    "PROXY_PASSWORD": "secret",
    "ALERT_WEBHOOK_URL": "https://hooks.example/production",
}


@dataclass
class ProjectFolder:
    """A project folder with its own `.data`, in which stacks are started."""

    folder: Path
    environment: dict[str, str]

    @property
    def data_dir(self) -> Path:
        return self.folder / ".data"

    def write_settings(self, **settings: str) -> None:
        (self.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def read_call(self, command: str) -> dict[str, Any]:
        """Read the recorded call of a fake process."""
        record: dict[str, Any] = json.loads((self.folder / f"{command}.json").read_text())
        return record

    def read_environment(self, command: str) -> dict[str, str]:
        """Read the environment that a process was given."""
        environment: dict[str, str] = self.read_call(command)["environment"]
        return environment

    def pids(self) -> list[int]:
        return [json.loads(file.read_text())["pid"] for file in self.folder.glob("*.json")]

    async def start(self, command: str, stdout: int = asyncio.subprocess.PIPE) -> "StackProcess":
        process = await asyncio.create_subprocess_exec(
            *python_command(STACK_PROGRAM, command, PROJECT / "tests/embedded/fake_app.py"),
            cwd=self.folder,
            env=self.environment,
            stdout=stdout,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return StackProcess(process)

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator["StackProcess"]:
        """Start a stack, wait until everything runs, and stop it at the end."""
        started = await self.start(command)
        try:
            await started.wait_for_output("Ctrl-C")
            yield started
        finally:
            if started.process.returncode is None:
                started.process.send_signal(signal.SIGTERM)
            await started.wait()


class StackProcess:
    """A started stack and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def wait_for_output(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while text not in self.output:
                line = await self.process.stdout.readline()
                assert line, self.output
                self.output += line.decode()

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        async with asyncio.timeout(20):
            out, _ = await self.process.communicate()
        self.output += out.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@pytest.fixture
def project() -> Iterator[ProjectFolder]:
    setting_names = {name.upper() for name in Settings.model_fields} | OTHER_SERVERS.keys()
    inherited = {k: v for k, v in os.environ.items() if k not in setting_names}
    # outside of pytest's folders, which every session of pytest closes to other users
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        environment = {
            **inherited,
            "PYTHONPATH": str(PROJECT),
            "FAKE_APP_DIR": name,
            "API_PORT": str(free_port()),
        }
        yield ProjectFolder(Path(name).resolve(), environment)


async def test_run_tells_where_everything_is_and_cleans_up(project: ProjectFolder) -> None:
    async with project.running("run") as started:
        servers = project.data_dir / "servers.env"
        assert stat.S_IMODE(servers.stat().st_mode) == 0o600
        environment = project.read_environment("api")
        assert servers.read_text().splitlines() == [
            f"DATABASE_URL={environment['DATABASE_URL']}",
            f"REDIS_URL={environment['REDIS_URL']}",
        ]
        started.process.send_signal(signal.SIGINT)

        assert await started.wait() == 0

    assert not servers.exists()
    await until(lambda: not any(map(is_running, project.pids())))
    assert f"http://127.0.0.1:{environment['API_PORT']}/docs" in started.output
    assert str(project.data_dir) in started.output


async def test_the_api_key_is_made_once_and_kept_secret(project: ProjectFolder) -> None:
    async with project.running("run") as first:
        pass
    async with project.running("run") as second:
        pass

    file = project.data_dir / "api-key"
    key = file.read_text().strip()
    assert len(key) == 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert project.read_environment("api")["API_KEYS"] == key
    assert key in first.output
    assert key in second.output


async def test_a_key_that_is_set_is_neither_replaced_nor_shown(project: ProjectFolder) -> None:
    project.write_settings(API_KEYS="mine")

    async with project.running("run") as started:
        pass

    assert "API_KEYS" not in project.read_environment("api")
    assert not (project.data_dir / "api-key").exists()
    assert "mine" not in started.output


async def test_servers_that_are_set_are_not_embedded(project: ProjectFolder) -> None:
    project.write_settings(REDIS_URL="redis://elsewhere:6379/0")

    async with project.running("run"):
        assert "REDIS_URL" not in project.read_environment("api")
        assert "REDIS_URL" not in (project.data_dir / "servers.env").read_text()
        assert not (project.data_dir / "valkey").exists()


async def test_a_stale_servers_file_is_not_believed(project: ProjectFolder) -> None:
    project.data_dir.mkdir()
    (project.data_dir / "servers.env").write_text(
        "DATABASE_URL=nonsense\nREDIS_URL=redis://gone:1/0\n"
    )

    async with project.running("run"):
        assert project.read_environment("api")["DATABASE_URL"].endswith(
            str(project.data_dir / "postgres")
        )
        assert project.read_environment("api")["REDIS_URL"].startswith("redis://127.0.0.1:")


async def test_an_exchange_out_of_reach_is_one_line_that_names_the_demo(
    project: ProjectFolder,
) -> None:
    async with project.running("run") as started:
        await started.wait_for_output("make demo")

    assert "The exchange can't be reached (no such host)" in started.output


@pytest.mark.parametrize("source", ["environment", "file"])
async def test_the_demo_ignores_every_other_server(project: ProjectFolder, source: str) -> None:
    if source == "file":
        project.write_settings(**OTHER_SERVERS, TICKERS="btc_usd,sol_usd")
    else:
        project.environment |= {**OTHER_SERVERS, "TICKERS": "btc_usd,sol_usd"}

    async with project.running("demo"):
        demo_dir = project.data_dir / "demo"
        exchange = project.read_call("exchange")["arguments"]
        for command in ("migrate", "api", "worker", "beat"):
            environment = project.read_environment(command)
            assert environment["DATABASE_URL"].endswith(str(demo_dir / "postgres"))
            assert environment["REDIS_URL"].startswith("redis://127.0.0.1:")
            assert environment["DERIBIT_BASE_URL"] == f"http://127.0.0.1:{exchange[1]}/api/v2"
            assert environment["DATA_DIR"] == str(demo_dir)
            others = OTHER_SERVERS.keys() - {"DATABASE_URL", "REDIS_URL", "DERIBIT_BASE_URL"}
            assert {environment[name] for name in others} == {""}
        url = f"DERIBIT_BASE_URL=http://127.0.0.1:{exchange[1]}/api/v2"
        assert url in (demo_dir / "servers.env").read_text().splitlines()

    assert exchange[2:] == ["--index", "btc_usd", "--index", "sol_usd"]
    (seeded,) = project.read_call("seed")["arguments"]
    assert (
        seeded
        == project.read_environment("seed")["DATABASE_URL"]
        == project.read_environment("api")["DATABASE_URL"]
    )
    assert not (project.data_dir / "servers.env").exists()


async def test_a_second_start_is_refused_by_name(project: ProjectFolder) -> None:
    async with project.running("run") as first:
        second = await project.start("run")

        assert await second.wait() == 1
        assert second.output.splitlines() == [
            f"already running in {project.data_dir}, as process {first.process.pid}: stop it first"
        ]
        assert (project.data_dir / "servers.env").exists()


async def test_a_killed_stack_can_be_started_again_at_once(project: ProjectFolder) -> None:
    async with project.running("run") as first:
        pids = project.pids()
        first.process.kill()

    async with project.running("run"):
        assert not any(map(is_running, pids))


async def test_a_port_in_use_is_named_before_anything_starts(project: ProjectFolder) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        project.environment["API_PORT"] = str(port)
        started = await project.start("run")

        assert await started.wait() == 1

    assert started.output.splitlines() == [
        f"API_PORT={port}: 127.0.0.1:{port} is not free (Address already in use)"
    ]
    assert not (project.data_dir / "postgres").exists()


async def test_a_setting_that_makes_no_sense_is_one_line(project: ProjectFolder) -> None:
    project.write_settings(COLLECT_INTERVAL_SECONDS="7")
    started = await project.start("run")

    assert await started.wait() == 1
    assert len(started.output.splitlines()) == 1
    assert "COLLECT_INTERVAL_SECONDS=7" in started.output


async def test_a_migration_that_fails_ends_everything_with_its_words(
    project: ProjectFolder,
) -> None:
    project.environment["FAKE_MIGRATION_ERROR"] = "the schema is from the future"
    started = await project.start("run")

    assert await started.wait() == 1
    assert started.output.endswith("migrate ended with 1:\nthe schema is from the future\n")
    assert not (project.data_dir / "servers.env").exists()
    await until(lambda: not any(map(is_running, project.pids())))


async def test_on_a_terminal_logs_are_for_people(project: ProjectFolder) -> None:
    reading, terminal = os.openpty()
    started = await project.start("run", stdout=terminal)
    os.close(terminal)
    try:
        await until((project.folder / "api.json").exists)
        assert project.read_environment("api")["LOG_FORMAT"] == "console"
    finally:
        started.process.send_signal(signal.SIGTERM)
        await started.process.wait()
        os.close(reading)


async def test_without_a_terminal_logs_are_left_alone(project: ProjectFolder) -> None:
    async with project.running("run"):
        assert "LOG_FORMAT" not in project.read_environment("api")
