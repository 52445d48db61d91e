"""The supervisor: order, restarts, hangs, and the end of everything that was started."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.supervisor.child_process import CannotStart, ProcessSpec
from app.supervisor.probes import HeartbeatProbe
from app.supervisor.supervisor import RestartBackoff, Supervisor, start_concurrently
from tests.supervisor.child_programs import (
    SLEEP_PROGRAM,
    RecordingOutput,
    is_running,
    python_command,
    read_number,
    until,
)

HEARTBEAT_PROGRAM = """
import pathlib, sys, time
while True:
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(0.02)
"""
GRANDCHILD_PROGRAM = """
import pathlib, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(grandchild.pid))
time.sleep(60)
"""
SIGTERM_IGNORING_PROGRAM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf now", flush=True)
time.sleep(60)
"""
SIGTERM_HANDLING_PROGRAM = """
import os, signal, sys
def end(*_):
    os.write(1, b"ended\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
os.write(1, b"ready\\n")
signal.pause()
"""


@pytest.fixture
def output() -> RecordingOutput:
    return RecordingOutput()


@pytest.fixture
async def supervisor(output: RecordingOutput) -> AsyncIterator[Supervisor]:
    async with Supervisor(output, backoff=RestartBackoff(delays_seconds=(0.0, 0.05))) as supervisor:
        yield supervisor


async def never() -> bool:
    return False


def running_pid(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.pid(name)
    assert pid is not None
    return pid


async def test_lines_of_a_child_arrive_behind_its_name(
    supervisor: Supervisor, output: RecordingOutput
) -> None:
    await supervisor.run(
        ProcessSpec(name="teller", argv=python_command("print('one'); print('two', end='')"))
    )

    assert output.lines == [("teller", "one"), ("teller", "two")]


async def test_an_endless_line_arrives_whole_in_pieces(
    supervisor: Supervisor, output: RecordingOutput
) -> None:
    await supervisor.run(ProcessSpec(name="teller", argv=python_command("print('x' * 300_000)")))

    assert len(output.lines) > 1
    assert "".join(text for _, text in output.lines) == "x" * 300_000


async def test_a_child_that_dies_is_started_again(
    supervisor: Supervisor, output: RecordingOutput
) -> None:
    await supervisor.start(ProcessSpec(name="sleeper", argv=python_command(SLEEP_PROGRAM)))
    first = running_pid(supervisor, "sleeper")

    os.kill(first, signal.SIGKILL)

    await until(lambda: supervisor.pid("sleeper") not in {None, first})
    assert output.messages == ["sleeper was ended by SIGKILL; starting it again now"]


async def test_a_child_that_keeps_dying_is_given_time(
    supervisor: Supervisor, output: RecordingOutput
) -> None:
    await supervisor.start(ProcessSpec(name="mortal", argv=python_command("raise SystemExit(3)")))

    await until(lambda: len(output.messages) >= 3)
    assert output.messages[:3] == [
        "mortal ended with 3; starting it again now",
        "mortal ended with 3; starting it again in 0.05 s",
        "mortal ended with 3; starting it again in 0.05 s",
    ]


def test_the_pause_before_a_restart_grows_to_its_longest() -> None:
    pace = RestartBackoff()

    assert [pace.delay_seconds(n) for n in (1, 2, 3, 4, 5, 6, 99)] == [0, 0.5, 1, 2, 5, 5, 5]


async def test_who_ran_for_long_is_forgiven(output: RecordingOutput) -> None:
    async with Supervisor(
        output, backoff=RestartBackoff((0.0, 60.0), reset_after_seconds=0.0)
    ) as supervisor:
        await supervisor.start(
            ProcessSpec(name="mortal", argv=python_command("raise SystemExit(3)"))
        )
        await until(lambda: len(output.messages) >= 3)

    assert set(output.messages) == {"mortal ended with 3; starting it again now"}


async def test_a_hung_child_is_killed_and_started_again(
    supervisor: Supervisor, output: RecordingOutput, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    child = ProcessSpec(
        name="beater",
        argv=python_command(HEARTBEAT_PROGRAM, file),
        ready_probe=HeartbeatProbe(file),
        liveness_probe=HeartbeatProbe(file),
        probe_interval_seconds=0.05,
        liveness_timeout_seconds=0.5,
    )
    await supervisor.start(child)
    first = running_pid(supervisor, "beater")

    os.kill(first, signal.SIGSTOP)

    await until(lambda: supervisor.pid("beater") not in {None, first})
    assert not is_running(first)
    assert output.messages == ["beater gave no heartbeat for 0.5 s; starting it again now"]


async def test_a_heartbeat_counts_whatever_the_clock_says(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    file.touch()
    heartbeat = HeartbeatProbe(file)
    assert not await heartbeat()

    for moment in (1, 4_000_000_000):
        os.utime(file, (moment, moment))
        assert await heartbeat()
        assert not await heartbeat()


async def test_grandchildren_end_too(output: RecordingOutput, tmp_path: Path) -> None:
    file = tmp_path / "grandchild"
    async with Supervisor(output) as supervisor:
        await supervisor.start(
            ProcessSpec(name="parent", argv=python_command(GRANDCHILD_PROGRAM, file))
        )
        await until(lambda: read_number(file))
        assert is_running(read_number(file))

    await until(lambda: not is_running(read_number(file)))


async def test_a_deaf_child_is_killed_after_its_grace(output: RecordingOutput) -> None:
    async with Supervisor(output) as supervisor:
        await supervisor.start(
            ProcessSpec(
                name="deaf", argv=python_command(SIGTERM_IGNORING_PROGRAM), stop_timeout_seconds=0.2
            )
        )
        await until(lambda: output.lines)
        pid = running_pid(supervisor, "deaf")

    assert not is_running(pid)


async def test_later_stages_end_first(output: RecordingOutput) -> None:
    async with Supervisor(output) as supervisor:
        children = (
            ProcessSpec(name=f"s{n}", argv=python_command(SIGTERM_HANDLING_PROGRAM), stage=n)
            for n in (1, 0, 2)
        )
        await start_concurrently(*map(supervisor.start, children))
        await until(lambda: len(output.lines) == 3)

    ended = [name for name, text in output.lines if text == "ended"]
    assert ended == ["s2", "s1", "s0"]


async def test_a_child_that_is_never_ready_cannot_start(supervisor: Supervisor) -> None:
    child = ProcessSpec(
        name="slow",
        argv=python_command(SLEEP_PROGRAM),
        ready_probe=never,
        ready_timeout_seconds=0.3,
    )

    with pytest.raises(CannotStart, match=r"^slow was not ready within 0.3 s$"):
        await supervisor.start(child)


async def test_a_child_that_ends_before_it_is_ready_leaves_its_last_words(
    supervisor: Supervisor,
) -> None:
    child = ProcessSpec(
        name="broken", argv=python_command("raise SystemExit('no such thing')"), ready_probe=never
    )

    with pytest.raises(CannotStart, match=r"^broken ended with 1:\nno such thing$"):
        await supervisor.start(child)


async def test_last_words_may_come_from_a_log(supervisor: Supervisor, tmp_path: Path) -> None:
    program = python_command("print('last words'); raise SystemExit(2)")

    with pytest.raises(CannotStart, match=r"^migrate ended with 2:\nlast words$"):
        await supervisor.run(ProcessSpec(name="migrate", argv=program, log_file=tmp_path / "log"))


async def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(CannotStart, match="ghost can't be run: there is no program /no/"):
        await supervisor.start(ProcessSpec(name="ghost", argv=["/no/such/program"]))


async def test_one_failure_ends_the_starts_beside_it(supervisor: Supervisor) -> None:
    slow = ProcessSpec(name="slow", argv=python_command(SLEEP_PROGRAM), ready_probe=never)
    ghost = ProcessSpec(name="ghost", argv=["/no/such/program"])

    with pytest.raises(CannotStart, match="ghost"):
        await start_concurrently(supervisor.start(slow), supervisor.start(ghost))


async def test_a_child_inherits_no_double_of_its_own_settings(
    supervisor: Supervisor, output: RecordingOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("database_url", "elsewhere")
    program = "import os; print(*(v for k, v in os.environ.items() if k.upper() == 'DATABASE_URL'))"

    await supervisor.run(
        ProcessSpec(name="settings", argv=python_command(program), env={"DATABASE_URL": "embedded"})
    )

    assert output.lines == [("settings", "embedded")]
