"""Python processes that begin with the libraries loaded: importing them is most of a start's work.

`make test` sets PRELOAD_PYTHON=1. Then each pytest worker has one server that has imported the
libraries, but nothing of the application, and forks a process for each `python -m` that is started
here. Where it is not set, where coverage is measured and where LD_PRELOAD is given, a process is
started as anywhere else.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, TypeAlias

PROJECT = Path(__file__).resolve().parents[1]
_NEEDS_A_START_OF_ITS_OWN = ("COV_", "COVERAGE_", "LD_PRELOAD")
_lock = Lock()


class PreloadedProcess:
    """A process forked by the server, with the methods of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        descriptors: Sequence[int],
    ) -> None:
        """Run `python -m COMMAND`; the descriptors are its input, output and errors."""
        self._status, status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"command": command, "env": dict(env), "cwd": str(cwd)})
        with status, _lock:
            socket.send_fds(_server(), [request.encode()], [*descriptors, status.fileno()])
        self.pid = int(self._status.recv(32))
        self.returncode: int | None = None
        self._returncode_lock = Lock()
        weakref.finalize(self, self._status.close)

    def poll(self) -> int | None:
        """Give the exit code, None while the process runs."""
        if select.select([self._status], [], [], 0)[0]:
            self._read_returncode()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; give the exit code, negative after a signal."""
        if not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self._read_returncode()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read_returncode(self) -> int:
        with self._returncode_lock:
            if self.returncode is None:
                self.returncode = int(self._status.recv(32))
        return self.returncode


PythonProcess: TypeAlias = "subprocess.Popen[bytes] | PreloadedProcess"


def start_python(
    *command: str,
    env: Mapping[str, str],
    cwd: Path = PROJECT,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> PythonProcess:
    """Start `python -m COMMAND` in a session of its own."""
    if not _can_be_preloaded(env):
        return subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", *command],
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a name that Path would not change
        given = nothing.fileno() if stdin == subprocess.DEVNULL else stdin
        return PreloadedProcess(command, env, cwd, (given, stdout.fileno(), stderr.fileno()))


def run_python(
    *command: str, env: Mapping[str, str], cwd: Path = PROJECT, stdin: int = subprocess.DEVNULL
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m COMMAND` to its end; give its exit code and what it wrote."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start_python(
            *command, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr
        )
        returncode = process.wait()
        written = [_text(file) for file in (stdout, stderr)]
    return subprocess.CompletedProcess(command, returncode, *written)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _can_be_preloaded(env: Mapping[str, str]) -> bool:
    wanted = sys.platform == "linux" and "PRELOAD_PYTHON" in os.environ
    return wanted and not any(name.startswith(_NEEDS_A_START_OF_ITS_OWN) for name in env)


@cache
def _server() -> socket.socket:
    """Start the server; it ends with this process, as its socket closes then."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded_python_server"],
            env={**inherited, "PYTHONUNBUFFERED": "1"},
            cwd=PROJECT,
            stdin=theirs.fileno(),
            start_new_session=True,
        )
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours
