"""The machine: which core serves, which one asks, and what it is made of."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.embedded.postgres_cluster import bin_directory

_ALLOWED: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = _ALLOWED[0]
LOAD_CORE: Final = _ALLOWED[-1]
LOOK_SECONDS: Final = 0.1
RESTING: Final = 20
"""Percent of a core, at rest: servers look after themselves now and then."""
_PACKAGE: Final = ("dpkg-query", "-W", "-f", "${Version}")  # Debian's build knows no version
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "fastapi", "sqlalchemy", "asyncpg", "aiohttp")


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and whatever it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def rest(seconds: float = 20) -> None:
    """Wait until the servers are done with what nobody waits for any more.

    Raises:
        TimeoutError: they go on and on.
    """
    until = time.monotonic() + seconds
    while psutil.cpu_percent(interval=LOOK_SECONDS, percpu=True)[SERVER_CORE] > RESTING:
        if time.monotonic() > until:
            raise TimeoutError(f"the servers' core is busy for {seconds:g} s after a load")


def describe() -> dict[str, str]:
    """Name the machine and the version of everything that was measured."""
    return {
        "processor": _found(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()),
        "cores": str(len(_ALLOWED)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": _found(r'PRETTY_NAME="(.+)"', Path("/etc/os-release").read_text()),
        "Python": platform.python_version(),
        "PostgreSQL": _said(r"(\d[\d.]*)", str(bin_directory() / "postgres"), "--version"),
        "VictoriaMetrics": _said(r"([\d.]+)", *_PACKAGE, "victoria-metrics"),
        "wrk": _said(r"wrk \S*?([\d.]+)", "wrk", "-v"),
        **{name: version(name) for name in PACKAGES},
    }


def _said(pattern: str, *command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return _found(pattern, ran.stdout + ran.stderr)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "unknown"
