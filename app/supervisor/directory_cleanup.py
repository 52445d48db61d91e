"""Processes by the folder in which they work, for what a killed server leaves behind."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

_KILLED_SECONDS: Final = 5.0


def kill_all_in(folder: Path) -> None:
    """Kill every process that works in a folder, whatever its group and parent, and see them end.

    PostgreSQL's processes have a session each. One that hangs outlives its server, and keeps the
    next one from starting.
    """
    found = [process for process in psutil.process_iter() if _works_in(process, folder)]
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, _KILLED_SECONDS)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder))
    except psutil.Error:  # it ended, or is none of ours
        return False
