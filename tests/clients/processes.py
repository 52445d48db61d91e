"""Programs in a process of their own, as what is set at a process's start needs one."""

import asyncio
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


async def run_python(program: str, *arguments: str, **environment: str) -> str:
    """Run a program with the project on its path; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()
