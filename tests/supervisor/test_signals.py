"""A supervisor as a process of its own: signals, suspension, and a death without warning."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.supervisor.child_programs import (
    ENVIRONMENT,
    is_running,
    python_command,
    read_number,
    until,
)

SUPERVISOR_PROGRAM = """
import asyncio, pathlib, signal, sys
from app.supervisor.output import TerminalOutput
from app.supervisor.probes import HeartbeatProbe
from app.supervisor.child_process import ProcessSpec
from app.supervisor.supervisor import Supervisor

child, folder = sys.argv[1], pathlib.Path(sys.argv[2])

async def main():
    supervisor = Supervisor(terminal)

    async def start():
        await supervisor.start(ProcessSpec(
            name="child",
            argv=[sys.executable, "-c", child, folder],
            ready_probe=HeartbeatProbe(folder / "heartbeat"),
            liveness_probe=HeartbeatProbe(folder / "heartbeat"),
            probe_interval_seconds=0.05,
            liveness_timeout_seconds=1.0,
        ))
        (folder / "started").touch()

    await supervisor.run_until_signal(start)

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which it is not where tests run under nohup
with TerminalOutput() as terminal:
    asyncio.run(main())
"""
HEARTBEAT_PROGRAM = """
import os, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "starts").open("a") as starts:
    starts.write("x")
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(folder / "grandchild").write_text(str(grandchild.pid))
(folder / "child").write_text(str(os.getpid()))
while True:
    (folder / "heartbeat").touch()
    time.sleep(0.02)
"""
SIGTERM_IGNORING_PROGRAM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + HEARTBEAT_PROGRAM
)
KILLED_AT_SPAWN_PROGRAM = """
import asyncio, os, signal, sys
from app.supervisor.output import Output
from app.supervisor.child_process import ProcessSpec, Process

def announce(pid):
    print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

child = ProcessSpec(name="child", argv=["/usr/bin/touch", sys.argv[1] + "/ran"])
asyncio.run(Process.spawn(child, Output(), announce))
"""
NEVER_READY_PROGRAM = HEARTBEAT_PROGRAM.replace("touch()", "exists()")


@asynccontextmanager
async def running_supervisor(folder: Path, child: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a supervisor of one child in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SUPERVISOR_PROGRAM,
        child,
        folder,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await until(lambda: read_number(folder / "child"))
        yield process
    finally:
        for pid in (process.pid, read_number(folder / "child"), read_number(folder / "grandchild")):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        await process.communicate()


def is_any_child_left(folder: Path) -> bool:
    return is_running(read_number(folder / "child")) or is_running(
        read_number(folder / "grandchild")
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_everything_with_code_0(tmp_path: Path, number: signal.Signals) -> None:
    async with running_supervisor(tmp_path, HEARTBEAT_PROGRAM) as process:
        await until((tmp_path / "started").exists)
        process.send_signal(number)

        assert await process.wait() == 0
        await until(lambda: not is_any_child_left(tmp_path))


async def test_a_signal_ends_a_start_that_takes_long(tmp_path: Path) -> None:
    async with running_supervisor(tmp_path, NEVER_READY_PROGRAM) as process:
        process.send_signal(signal.SIGTERM)

        assert await process.wait() == 0
        await until(lambda: not is_any_child_left(tmp_path))


async def test_a_second_signal_kills(tmp_path: Path) -> None:
    async with running_supervisor(tmp_path, SIGTERM_IGNORING_PROGRAM) as process:
        await until((tmp_path / "started").exists)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        assert process.returncode is None

        process.send_signal(signal.SIGINT)

        async with asyncio.timeout(5):  # far below the grace of a deaf child
            assert await process.wait() == 0
        await until(lambda: not is_any_child_left(tmp_path))


async def test_a_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    async with running_supervisor(tmp_path, HEARTBEAT_PROGRAM) as process:
        process.kill()

        await until(lambda: not is_any_child_left(tmp_path))


def reaper_of(pid: int) -> psutil.Process | None:
    living = [child for child in psutil.Process(pid).children() if is_running(child.pid)]
    return next((child for child in living if "orphan_reaper.py" in str(child.cmdline())), None)


async def test_a_killed_reaper_is_replaced_by_one_that_knows_the_children(
    tmp_path: Path,
) -> None:
    async with running_supervisor(tmp_path, HEARTBEAT_PROGRAM) as process:
        first = reaper_of(process.pid)
        assert first is not None
        first.kill()
        await until(lambda: reaper_of(process.pid) not in {None, first})
        await until((tmp_path / "started").exists)
        process.kill()

        await until(lambda: not is_any_child_left(tmp_path))


async def test_a_child_does_nothing_before_somebody_knows_of_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *python_command(KILLED_AT_SPAWN_PROGRAM, tmp_path),
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()

    assert process.returncode == -signal.SIGKILL
    await until(lambda: not is_running(int(out)))
    assert not (tmp_path / "ran").exists()


async def test_a_suspended_supervisor_takes_nobody_for_hung(tmp_path: Path) -> None:
    async with running_supervisor(tmp_path, HEARTBEAT_PROGRAM) as process:
        await until((tmp_path / "started").exists)
        child = read_number(tmp_path / "child")
        process.send_signal(signal.SIGSTOP)
        os.kill(child, signal.SIGSTOP)
        await asyncio.sleep(1.5)  # longer than the silence that a hung child is allowed

        process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.2)
        os.kill(child, signal.SIGCONT)

        beats = (tmp_path / "heartbeat").stat().st_mtime_ns
        await until(lambda: (tmp_path / "heartbeat").stat().st_mtime_ns > beats + 1_500_000_000)
        assert (tmp_path / "starts").read_text() == "x"


async def test_output_is_prefixed_and_plain_without_a_terminal(tmp_path: Path) -> None:
    async with running_supervisor(
        tmp_path, "print('hello', flush=True)" + HEARTBEAT_PROGRAM
    ) as process:
        await until((tmp_path / "started").exists)
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()

    assert out.decode().splitlines() == ["child    │ hello"]
