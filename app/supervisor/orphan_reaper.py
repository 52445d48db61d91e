"""The supervisor's last will: ends its children when it is killed before it could do so itself.

Started as a script of its own, so it imports the standard library alone. There it reads
`+PID SIGNAL` and `-PID` from its arguments and then from its standard input; the end of that stream
means that the supervisor is gone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import chain, starmap

GRACE_SECONDS = 8.0
_LOOK_SECONDS = 0.05


class OrphanReaper:
    """The supervisor's side: a process of its own that knows which children there are."""

    def __init__(self, *, keeps_open: Sequence[int] = ()) -> None:
        self._keeps_open = keeps_open
        self._watched: dict[int, signal.Signals] = {}
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The orphan reaper's process id."""
        return self._process.pid

    def watch(self, pid: int, stop_signal: signal.Signals) -> None:
        """Have a process group ended if this process dies."""
        self._watched[pid] = stop_signal
        self._tell(f"{_to_watch(pid, stop_signal)}\n")

    def forget(self, pid: int) -> None:
        """Leave a process group alone from now on."""
        self._watched.pop(pid, None)
        self._tell(f"-{pid}\n")

    def revive(self) -> bool:
        """Start the orphan reaper again if it died; tell whether it had.

        Raises:
            OSError: the machine has no process or memory left for it.
        """
        if self._process.poll() is None:
            return False
        dead, self._process = self._process, self._start()
        dead.communicate()
        return True

    def close(self) -> None:
        """End the orphan reaper; it ends what it still knows of."""
        self._process.communicate()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-I", "-S", __file__, *starmap(_to_watch, self._watched.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._keeps_open,
        )

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


def main() -> None:
    """Follow the supervisor's children until it is gone, then end what is left of them."""
    children: dict[int, int] = {}
    for line in chain(sys.argv[1:], sys.stdin):
        _note(children, line)
    end_groups(children)


def end_groups(signals: dict[int, int], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask every process group to end, the youngest first, and kill what stays."""
    for pid, number in reversed(signals.items()):
        _send(pid, number)
    deadline = time.monotonic() + grace_seconds
    while _any_left(signals) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    for pid in signals:
        _send(pid, signal.SIGKILL)


def _to_watch(pid: int, stop_signal: signal.Signals) -> str:
    return f"+{pid} {stop_signal.value}"


def _note(children: dict[int, int], line: str) -> None:
    sign, words = line[0], line[1:].split()
    if sign == "+":
        children[int(words[0])] = int(words[1])
    else:
        children.pop(int(words[0]), None)


def _send(pid: int, number: int) -> bool:
    """Signal a group; a stopped one must also be continued, or it could not obey."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        if number:
            os.killpg(pid, signal.SIGCONT)
        return True
    return False


def _any_left(pids: Iterable[int]) -> bool:
    return any(_send(pid, 0) for pid in pids)


if __name__ == "__main__":
    main()
