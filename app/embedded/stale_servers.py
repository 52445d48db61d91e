"""Stops servers, and kills processes of servers, that outlived who started them.

Both are recognised by their working directory.
"""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import SettingsError

_KILL_TIMEOUT_SECONDS: Final = 5.0


def kill_processes_in(directory: Path) -> None:
    """Kill every process whose working directory this is, and wait until they have ended.

    Each of PostgreSQL's processes has a session of its own. One that hangs outlives its server and
    keeps the next one from starting.
    """
    processes = [process for process in psutil.process_iter() if _works_in(process, directory)]
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, _KILL_TIMEOUT_SECONDS)


def stop_stale_server(pid_file: Path, directory: Path, stop_signal: signal.Signals) -> None:
    """Stop the server that works in a directory, if its pid file still names a running one.

    Raises:
        SettingsError: the server does not end, even if it is killed.
    """
    with suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        # servers work in their directory, unlike an unrelated process with the old id
        if _works_in(process, directory) and not (
            _has_ended_after(process, stop_signal) or _has_ended_after(process, signal.SIGKILL)
        ):
            raise SettingsError(f"process {process.pid} still serves {directory} and does not end")
    pid_file.unlink(missing_ok=True)


def _has_ended_after(process: psutil.Process, stop_signal: signal.Signals) -> bool:
    """Signal a process and wait; return whether it ended."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(stop_signal)
        process.send_signal(signal.SIGCONT)
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout=10)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Return whether this is a process's working directory; a zombie has none."""
    try:
        return bool(process.cwd() == str(directory))
    except psutil.Error:  # it ended, or belongs to another user
        return False
