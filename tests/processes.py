"""The service's real processes, started by tests and ended with them."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from app.core.settings import Settings
from tests.preloaded_python import PythonProcess, start_python

PROJECT = Path(__file__).resolve().parents[1]
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a process with these settings and no others."""
    dumped = settings.model_dump(exclude_none=True)
    variables = {name.upper(): _text(value) for name, value in dumped.items()}
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    coverage = {k: v for k, v in os.environ.items() if k.startswith(("COVERAGE_", "COV_"))}
    return {**inherited, **coverage, "PYTHONUNBUFFERED": "1", **variables, **more}


def clock_off_by(seconds: int) -> dict[str, str]:
    """Return the variables that shift the clocks of a process."""
    assert FAKETIME is not None, "libfaketime is missing: apt-get install faketime"
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": f"{seconds:+d}s",
    }


@dataclass
class Process:
    """A running process; its output goes to a file."""

    popen: PythonProcess
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it and all its children as a power cut would."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self, timeout: float = 20) -> int:
        """Ask it to end and wait until it did."""
        self.popen.terminate()
        return self.popen.wait(timeout)


@dataclass
class Processes:
    """Starts processes with one environment; ends them all at the end."""

    settings: Settings
    directory: Path
    running: list[Process] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in self.running:
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, *command: str, env: Mapping[str, str] | None = None) -> Process:
        """Start `python -m` with a command."""
        log = self.directory / f"{len(self.running)}-{Path(command[-1]).name}.log"
        with log.open("wb") as output:
            popen = start_python(
                *command,
                env={**environment(self.settings), **(env or {})},
                stdout=output,
                stderr=output,
            )
        process = Process(popen, log)
        self.running.append(process)
        return process

    def worker(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a worker as users of Celery do."""
        base = ("celery", "-A", "app.celery_app", "worker", "--without-mingle")
        return self.start(*base, f"--hostname=w{len(self.running)}@%h", *options, env=env)

    def beat(self, env: Mapping[str, str] | None = None) -> Process:
        """Start a beat as users of Celery do."""
        return self.start("celery", "-A", "app.celery_app", "beat", env=env)


@contextmanager
def processes(settings: Settings, directory: Path) -> Iterator[Processes]:
    """Run processes as long as the context lasts."""
    with Processes(settings, directory) as started:
        yield started


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
