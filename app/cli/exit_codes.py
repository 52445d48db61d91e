"""The exit codes of the command line."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended; a signal that nothing handles ends it as it ends any process."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    INTERRUPTED = 130


EPILOG: Final = (
    f"Exit codes: {ExitCode.DONE} done; "
    f"{ExitCode.FAILED} failed, or found something wrong; "
    f"{ExitCode.REFUSED} the command makes no sense, or was not confirmed; "
    f"{ExitCode.INTERRUPTED} interrupted by Ctrl-C."
)
"""The last lines of every `--help`."""
