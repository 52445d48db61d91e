"""Ends the supervisor's children if the supervisor is killed before it can do so itself.

The reaper runs as a script, so it imports the standard library alone. The script reads the table of
process groups and their stop signals, as JSON, from its argument, and from a line of its standard
input whenever it changes. The end of the input means that the supervisor is gone.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from itertools import chain

STOP_TIMEOUT_SECONDS = 8.0
_POLL_SECONDS = 0.05


class OrphanReaper:
    """Starts the script, and informs it about every child."""

    def __init__(self, *, inherited_fds: Sequence[int] = ()) -> None:
        self._inherited_fds = inherited_fds
        self._stop_signals: dict[int, signal.Signals] = {}
        self._process = self._start_reaper_process()

    def register(self, pid: int, stop_signal: signal.Signals) -> None:
        """Have a process group ended if this process dies."""
        self._stop_signals[pid] = stop_signal
        self._send_table()

    def unregister(self, pid: int) -> None:
        """Leave a process group alone from now on."""
        self._stop_signals.pop(pid, None)
        self._send_table()

    def restart_if_dead(self) -> bool:
        """Start the script again if it died; return whether it had.

        Raises:
            OSError: the machine has no process or memory left for it.
        """
        if self._process.poll() is None:
            return False
        dead, self._process = self._process, self._start_reaper_process()
        dead.communicate()
        return True

    def close(self) -> None:
        """End the script; it ends the groups that are still registered."""
        self._process.communicate()

    def _start_reaper_process(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-I", "-S", __file__, self._table()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=self._inherited_fds,
        )

    def _table(self) -> str:
        return json.dumps(list(self._stop_signals.items()))

    def _send_table(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{self._table()}\n".encode())
                self._process.stdin.flush()


def main() -> None:
    """Wait until the supervisor is gone, then end the groups of its last table."""
    (table,) = deque(chain(sys.argv[1:], sys.stdin), maxlen=1)
    stop_groups(dict(json.loads(table)))


def stop_groups(signals_by_pid: dict[int, int]) -> None:
    """Send each process group its signal, the youngest first, and kill those that stay."""
    for pid, number in reversed(signals_by_pid.items()):
        _signal_group(pid, number)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while any(_signal_group(pid, 0) for pid in signals_by_pid) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid in signals_by_pid:
        _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> bool:
    """Signal a group; return whether it exists. A stopped one must be continued to obey."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        if number:
            os.killpg(pid, signal.SIGCONT)
        return True
    return False


if __name__ == "__main__":
    main()
