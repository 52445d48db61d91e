"""Runs commands of the command line as processes."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from app.core.settings import Settings
from tests.preloaded_python import PROJECT, run_python
from tests.processes import environment


async def run_cli(
    settings: Settings, *arguments: str, **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m app` with these settings; `env` adds variables or replaces some."""
    process_environment = environment(settings, **env)
    return await asyncio.to_thread(run_python, "app", *arguments, env=process_environment)


async def run_on_terminal(settings: Settings, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Run `python -m app` on terminals; give the exit code, the output and the errors."""
    return await asyncio.to_thread(_run_on_terminal, environment(settings, **env), arguments)


def _run_on_terminal(env: Mapping[str, str], arguments: Sequence[str]) -> tuple[int, str, str]:
    (output, output_end), (errors, errors_end) = pty.openpty(), pty.openpty()
    with (
        ThreadPoolExecutor() as pool,
        subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "app", *arguments],
            env={"TERM": "xterm", "COLUMNS": "120", **env},
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=output_end,
            stderr=errors_end,
        ) as process,
    ):
        os.close(output_end)
        os.close(errors_end)
        shown, told = pool.map(_read_terminal, (output, errors))
    return process.returncode, shown, told


def _read_terminal(terminal: int) -> str:
    """Read what is shown, until nothing has the other end open."""
    shown = bytearray()
    with os.fdopen(terminal, "rb", buffering=0) as file, suppress(OSError):  # EIO is its end
        while piece := file.read(4096):
            shown += piece
    return shown.decode().replace("\r\n", "\n")
