"""The memory of a demo as a whole: proportional set sizes, process by process."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.processes import MEGABYTE, START_SECONDS, Broken, process_environment, python
from benchmarks.results import Result

MAX_MEGABYTES: Final = 400
INTERVAL_SECONDS: Final = 1
SETTLING_SECONDS: Final = 60
LATER_SECONDS: Final = 120
"""Until then 180 slots passed and beat woke 720 times: three hours' worth of minutes."""
KIB: Final = 1024
SERVERS: Final = ("postgres", "valkey-server", "redis-server")


def measure() -> Iterator[Result]:
    """Run a demo and weigh its processes after a minute, and after more than an hour of slots.

    Raises:
        Broken: it does not start.
    """
    with _demo() as demo:
        time.sleep(SETTLING_SECONDS)
        yield _sum("a demo's memory after a minute", weigh(demo))
        time.sleep(LATER_SECONDS)
        weights = weigh(demo)
        for name, amounts in weights.items():
            processes = f"{len(amounts)} processes" if len(amounts) > 1 else ""
            yield Result(f"memory of {name}", sum(amounts), "MB", processes)
        yield _sum("a demo's memory after three hours' worth of slots", weights)


def weigh(root: psutil.Process) -> dict[str, list[float]]:
    """Give the proportional set sizes in megabytes of a process and its descendants, by name.

    A page that several processes share counts in each by its part, so that the sum is what the
    machine has less of.
    """
    weights: dict[str, list[float]] = {}
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):  # it just ended
            weights.setdefault(_name(process, root), []).append(_megabytes(process.pid))
    return weights


@contextmanager
def _demo() -> Iterator[psutil.Process]:
    directory = Path(tempfile.mkdtemp(prefix="bench-demo-"))
    directory.chmod(0o755)  # PostgreSQL's own user enters it
    env = {
        "DATA_DIR": str(directory),
        "API_PORT": "0",
        "COLLECT_INTERVAL_SECONDS": str(INTERVAL_SECONDS),
    }
    log = directory / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            python("app", "demo"),
            env=process_environment(env),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_start(demo, log)
        yield psutil.Process(demo.pid)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _await_start(demo: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "Everything runs." not in log.read_text(errors="replace"):
        if demo.poll() is not None or time.monotonic() > deadline:
            raise Broken(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _sum(name: str, weights: dict[str, list[float]]) -> Result:
    amounts = [amount for several in weights.values() for amount in several]
    return Result(name, sum(amounts), "MB", f"{len(amounts)} processes", at_most=MAX_MEGABYTES)


def _name(process: psutil.Process, root: psutil.Process) -> str:
    """Name a process by its role; a server's processes are one."""
    if process.name() in SERVERS:
        return str(process.name())
    if process.pid == root.pid:
        return "the supervisor"
    words = process.cmdline()
    if words[1:2] != ["-m"]:
        return "the orphan reaper"
    role = words[words.index("app") + 1]
    return f"the {role}" if process.ppid() == root.pid else f"the {role}'s children"


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib * KIB / MEGABYTE
