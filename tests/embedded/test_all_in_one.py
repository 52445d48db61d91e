"""`run` and `demo`: real servers and a real supervisor around processes that only play theirs."""

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
from tests.supervisor.child_programs import PROJECT, lives, python, until

MAIN = """
import sys
from app.embedded import all_in_one
from app.supervisor import process_specs

async def problem():
    return "no such host"

all_in_one.exchange_problem = problem
process_specs.APP_COMMAND = (sys.executable, sys.argv[2])
process_specs.SEED_COMMAND = (*process_specs.APP_COMMAND, "seed")
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
class Place:
    """A project folder with a `.data` of its own, and what was started in it."""

    folder: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        return self.folder / ".data"

    def set(self, **settings: str) -> None:
        (self.folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def played(self, command: str) -> dict[str, Any]:
        """Read how a process was called."""
        record: dict[str, Any] = json.loads((self.folder / f"{command}.json").read_text())
        return record

    def told(self, command: str) -> dict[str, str]:
        """Read the environment that a process was given."""
        environment: dict[str, str] = self.played(command)["environment"]
        return environment

    def pids(self) -> list[int]:
        return [json.loads(file.read_text())["pid"] for file in self.folder.glob("*.json")]

    async def start(self, command: str, stdout: int = asyncio.subprocess.PIPE) -> "Started":
        process = await asyncio.create_subprocess_exec(
            *python(MAIN, command, PROJECT / "tests/embedded/play_app.py"),
            cwd=self.folder,
            env=self.environment,
            stdout=stdout,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return Started(process)

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator["Started"]:
        """Run a stack until it says that everything runs, and end it at the end."""
        started = await self.start(command)
        try:
            await started.read_until("Ctrl-C")
            yield started
        finally:
            if started.process.returncode is None:
                started.process.send_signal(signal.SIGTERM)
            await started.rest()


class Started:
    """A stack that was started, and what it wrote so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""

    async def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while text not in self.out:
                line = await self.process.stdout.readline()
                assert line, self.out
                self.out += line.decode()

    async def rest(self) -> int:
        """Wait for the end and return the exit code."""
        async with asyncio.timeout(20):
            out, _ = await self.process.communicate()
        self.out += out.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@pytest.fixture
def place() -> Iterator[Place]:
    known = {name.upper() for name in Settings.model_fields} | OTHER_SERVERS.keys()
    inherited = {k: v for k, v in os.environ.items() if k not in known}
    # outside of pytest's folders, which every session of pytest closes to other users
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        environment = {
            **inherited,
            "PYTHONPATH": str(PROJECT),
            "PLAY": name,
            "API_PORT": str(free_port()),
        }
        yield Place(Path(name).resolve(), environment)


async def test_run_tells_where_everything_is_and_cleans_up(place: Place) -> None:
    async with place.running("run") as started:
        servers = place.data / "servers.env"
        assert stat.S_IMODE(servers.stat().st_mode) == 0o600
        told = place.told("api")
        assert servers.read_text().splitlines() == [
            f"DATABASE_URL={told['DATABASE_URL']}",
            f"REDIS_URL={told['REDIS_URL']}",
        ]
        started.process.send_signal(signal.SIGINT)

        assert await started.rest() == 0

    assert not servers.exists()
    await until(lambda: not any(map(lives, place.pids())))
    assert f"http://127.0.0.1:{told['API_PORT']}/docs" in started.out
    assert str(place.data) in started.out


async def test_the_api_key_is_made_once_and_kept_secret(place: Place) -> None:
    async with place.running("run") as first:
        pass
    async with place.running("run") as second:
        pass

    file = place.data / "api-key"
    key = file.read_text().strip()
    assert len(key) == 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert place.told("api")["API_KEYS"] == key
    assert key in first.out
    assert key in second.out


async def test_a_key_that_is_set_is_neither_replaced_nor_shown(place: Place) -> None:
    place.set(API_KEYS="mine")

    async with place.running("run") as started:
        pass

    assert "API_KEYS" not in place.told("api")
    assert not (place.data / "api-key").exists()
    assert "mine" not in started.out


async def test_servers_that_are_set_are_not_embedded(place: Place) -> None:
    place.set(REDIS_URL="redis://elsewhere:6379/0")

    async with place.running("run"):
        assert "REDIS_URL" not in place.told("api")
        assert "REDIS_URL" not in (place.data / "servers.env").read_text()
        assert not (place.data / "valkey").exists()


async def test_a_stale_servers_file_is_not_believed(place: Place) -> None:
    place.data.mkdir()
    (place.data / "servers.env").write_text("DATABASE_URL=nonsense\nREDIS_URL=redis://gone:1/0\n")

    async with place.running("run"):
        assert place.told("api")["DATABASE_URL"].endswith(str(place.data / "postgres"))
        assert place.told("api")["REDIS_URL"].startswith("redis://127.0.0.1:")


async def test_an_exchange_out_of_reach_is_one_line_that_names_the_demo(place: Place) -> None:
    async with place.running("run") as started:
        await started.read_until("make demo")

    assert "The exchange can't be reached (no such host)" in started.out


@pytest.mark.parametrize("where", ["environment", "file"])
async def test_the_demo_ignores_every_other_server(place: Place, where: str) -> None:
    if where == "file":
        place.set(**OTHER_SERVERS, TICKERS="btc_usd,sol_usd")
    else:
        place.environment |= {**OTHER_SERVERS, "TICKERS": "btc_usd,sol_usd"}

    async with place.running("demo"):
        home = place.data / "demo"
        exchange = place.played("exchange")["arguments"]
        for command in ("migrate", "api", "worker", "beat"):
            told = place.told(command)
            assert told["DATABASE_URL"].endswith(str(home / "postgres"))
            assert told["REDIS_URL"].startswith("redis://127.0.0.1:")
            assert told["DERIBIT_BASE_URL"] == f"http://127.0.0.1:{exchange[1]}/api/v2"
            assert told["DATA_DIR"] == str(home)
            others = OTHER_SERVERS.keys() - {"DATABASE_URL", "REDIS_URL", "DERIBIT_BASE_URL"}
            assert {told[name] for name in others} == {""}
        url = f"DERIBIT_BASE_URL=http://127.0.0.1:{exchange[1]}/api/v2"
        assert url in (home / "servers.env").read_text().splitlines()

    assert exchange[2:] == ["--index", "btc_usd", "--index", "sol_usd"]
    (seeded,) = place.played("seed")["arguments"]
    assert seeded == place.told("seed")["DATABASE_URL"] == place.told("api")["DATABASE_URL"]
    assert not (place.data / "servers.env").exists()


async def test_a_second_start_is_refused_by_name(place: Place) -> None:
    async with place.running("run") as first:
        second = await place.start("run")

        assert await second.rest() == 1
        assert second.out.splitlines() == [
            f"already running in {place.data}, as process {first.process.pid}: stop it first"
        ]
        assert (place.data / "servers.env").exists()


async def test_a_killed_stack_can_be_started_again_at_once(place: Place) -> None:
    async with place.running("run") as first:
        pids = place.pids()
        first.process.kill()

    async with place.running("run"):
        assert not any(map(lives, pids))


async def test_a_port_in_use_is_named_before_anything_starts(place: Place) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        place.environment["API_PORT"] = str(port)
        started = await place.start("run")

        assert await started.rest() == 1

    assert started.out.splitlines() == [
        f"API_PORT={port}: 127.0.0.1:{port} is not free (Address already in use)"
    ]
    assert not (place.data / "postgres").exists()


async def test_a_setting_that_makes_no_sense_is_one_line(place: Place) -> None:
    place.set(COLLECT_INTERVAL_SECONDS="7")
    started = await place.start("run")

    assert await started.rest() == 1
    assert len(started.out.splitlines()) == 1
    assert "COLLECT_INTERVAL_SECONDS=7" in started.out


async def test_a_migration_that_fails_ends_everything_with_its_words(place: Place) -> None:
    place.environment["PLAY_MIGRATION"] = "the schema is from the future"
    started = await place.start("run")

    assert await started.rest() == 1
    assert started.out.endswith("migrate ended with 1:\nthe schema is from the future\n")
    assert not (place.data / "servers.env").exists()
    await until(lambda: not any(map(lives, place.pids())))


async def test_on_a_terminal_logs_are_for_people(place: Place) -> None:
    reading, terminal = os.openpty()
    started = await place.start("run", stdout=terminal)
    os.close(terminal)
    try:
        await until((place.folder / "api.json").exists)
        assert place.told("api")["LOG_FORMAT"] == "console"
    finally:
        started.process.send_signal(signal.SIGTERM)
        await started.process.wait()
        os.close(reading)


async def test_without_a_terminal_logs_are_left_alone(place: Place) -> None:
    async with place.running("run"):
        assert "LOG_FORMAT" not in place.told("api")
