"""Servers that outlived a killed supervisor: recognised for certain, then ended properly."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.core.errors import SettingsError


def end_leftover(pid_file: Path, directory: Path, stop_signal: signal.Signals) -> None:
    """End the server that works in a directory, if its pid file still names a living one."""
    process = _living(pid_file)
    if process is None or not _works_in(process, directory):
        pid_file.unlink(missing_ok=True)
        return
    for number in (stop_signal, signal.SIGKILL):
        if _ended(process, number):
            pid_file.unlink(missing_ok=True)
            return
    raise SettingsError(f"process {process.pid} still serves {directory} and does not end")


def _living(pid_file: Path) -> psutil.Process | None:
    with suppress(FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Tell a server from a stranger that was given its old number: servers work in their folder."""
    with suppress(psutil.Error, OSError):
        return Path(process.cwd()) == directory.resolve()
    return False


def _ended(process: psutil.Process, number: signal.Signals) -> bool:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        with suppress(psutil.TimeoutExpired):
            process.wait(timeout=10)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
