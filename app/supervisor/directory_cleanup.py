"""Kills the processes that work in a directory, which a killed server leaves behind."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

_KILL_TIMEOUT_SECONDS: Final = 5.0


def kill_processes_in(directory: Path) -> None:
    """Kill every process whose working directory this is, and wait until they have ended.

    Each of PostgreSQL's processes has a session of its own. One that hangs outlives its server and
    keeps the next one from starting.
    """
    processes = [process for process in psutil.process_iter() if works_in(process, directory)]
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, _KILL_TIMEOUT_SECONDS)


def works_in(process: psutil.Process, directory: Path) -> bool:
    """Return whether this is a process's working directory; a zombie has none."""
    try:
        return bool(process.cwd() == str(directory))
    except psutil.Error:  # it ended, or belongs to another user
        return False
