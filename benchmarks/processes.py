"""Processes that are measured: started on the server's core, ended with the run."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.machine import SERVER_CORE, pinned

PROJECT: Final = Path(__file__).resolve().parents[1]
START_SECONDS: Final = 60
STOP_SECONDS: Final = 20
LOOK_SECONDS: Final = 0.01
MEGABYTE: Final = 1_000_000


class Broken(Exception):
    """Something that is measured does not work, so that a figure would mean nothing."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and where it listens."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def megabytes(self) -> float:
        """The memory that it and its children hold now."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        held: int = sum(one.memory_info().rss for one in family)
        return held / MEGABYTE

    @contextmanager
    def watched(self) -> Iterator[list[float]]:
        """Note its memory in megabytes, again and again."""
        seen, ended = [self.megabytes], threading.Event()

        def look() -> None:
            while not ended.wait(LOOK_SECONDS):
                seen.append(self.megabytes)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            ended.set()
            watcher.join()


@contextmanager
def serving(
    port: int,
    log: Path,
    *command: str,
    env: Mapping[str, str] | None = None,
    core: int = SERVER_CORE,
) -> Iterator[Server]:
    """Run a server on a core until the block ends.

    Raises:
        Broken: it does not listen.
    """
    with log.open("wb") as output, pinned(core):
        process = subprocess.Popen(
            command,
            env=process_environment(env),
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_port(process, port, log)
        yield Server(port, process.pid)
    finally:
        _end(process)


def run(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command to its end, on this process's core, and give what it printed.

    Raises:
        Broken: it failed.
    """
    ran = subprocess.run(
        command, env=process_environment(env), cwd=cwd, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise Broken(f"{' '.join(command)[:200]}: {(ran.stderr or ran.stdout)[-2000:]}")
    return ran.stdout


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Give the command that runs one of the project's modules."""
    return (sys.executable, "-m", module, *arguments)


def process_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give an environment with the project's code and none of the developer's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(PROJECT), **(more or {})}


def _await_port(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Broken(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
