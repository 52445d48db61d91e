"""Stops servers that outlived a killed supervisor, once they are recognised for certain."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import SettingsError


def stop_stale_server(pid_file: Path, directory: Path, stop_signal: signal.Signals) -> None:
    """Stop the server that works in a directory, if its pid file still names a running one.

    Raises:
        SettingsError: the server does not end, even if it is killed.
    """
    process = _running_process(pid_file)
    if process is None or not _works_in(process, directory):
        pid_file.unlink(missing_ok=True)
        return
    for number in (stop_signal, signal.SIGKILL):
        if _stop(process, number):
            pid_file.unlink(missing_ok=True)
            return
    raise SettingsError(f"process {process.pid} still serves {directory} and does not end")


def _running_process(pid_file: Path) -> psutil.Process | None:
    with suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Tell a server from an unrelated process with its old id: servers work in their directory."""
    with suppress(psutil.Error, OSError):
        return Path(process.cwd()) == directory.resolve()
    return False


def _stop(process: psutil.Process, number: signal.Signals) -> bool:
    """Signal a process and wait; return whether it ended."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout=10)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
