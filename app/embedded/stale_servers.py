"""Stops servers that outlived a killed supervisor, once they are recognised for certain."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import SettingsError
from app.supervisor.directory_cleanup import works_in


def stop_stale_server(pid_file: Path, directory: Path, stop_signal: signal.Signals) -> None:
    """Stop the server that works in a directory, if its pid file still names a running one.

    Raises:
        SettingsError: the server does not end, even if it is killed.
    """
    with suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        # servers work in their directory, unlike an unrelated process with the old id
        if works_in(process, directory) and not (
            _stop(process, stop_signal) or _stop(process, signal.SIGKILL)
        ):
            raise SettingsError(f"process {process.pid} still serves {directory} and does not end")
    pid_file.unlink(missing_ok=True)


def _stop(process: psutil.Process, number: signal.Signals) -> bool:
    """Signal a process and wait; return whether it ended."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout=10)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
