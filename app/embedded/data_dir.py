"""The data directory of a stack: its lock, its servers' addresses, its API key."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from app.core.settings import SERVERS_FILE
from app.supervisor.child_process import CannotStart

KEY_FILE: Final = "api-key"
_KEY_BYTES: Final = 32
_LOCK_TIMEOUT_SECONDS: Final = 15.0


@contextmanager
def locked_data_dir(directory: Path) -> Iterator[int]:
    """Hold the directory's lock while the context lasts; yield the lock's file descriptor.

    A process that inherits the descriptor shares the lock: the orphan reaper holds it until it has
    ended the children of a killed supervisor.

    Raises:
        CannotStart: another stack runs there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        _acquire(lock.fileno(), directory)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        _remove_server_urls(directory)
        try:
            yield lock.fileno()
        finally:
            _remove_server_urls(directory)


def write_server_urls(directory: Path, urls: Mapping[str, str]) -> None:
    """Write the embedded servers' addresses, for every other command to read."""
    lines = "".join(f"{name}={url}\n" for name, url in urls.items())
    _write_secret(directory / SERVERS_FILE, lines)


def load_or_create_api_key(directory: Path) -> str:
    """Return the API key of this directory, created at the first start."""
    file = directory / KEY_FILE
    if not file.exists():
        _write_secret(file, secrets.token_urlsafe(_KEY_BYTES) + "\n")
    return file.read_text().strip()


def _acquire(lock: int, directory: Path) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        owner = _owner_pid(directory)
        if _is_running(owner) or time.monotonic() > deadline:
            raise CannotStart(f"already running in {directory}, as process {owner}: stop it first")
        time.sleep(0.05)  # it was killed, and its orphan reaper is still stopping its children


def _owner_pid(directory: Path) -> int:
    with suppress(ValueError):
        return int((directory / "lock").read_text())
    return 0


def _is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    with suppress(psutil.NoSuchProcess, ValueError):
        return pid > 0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _remove_server_urls(directory: Path) -> None:
    (directory / SERVERS_FILE).unlink(missing_ok=True)


def _write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner may read, completely or not at all."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    with open(draft, "x", opener=partial(os.open, mode=0o600)) as out:
        out.write(text)
    draft.replace(file)
