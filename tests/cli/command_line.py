"""Runs commands of the command line as processes."""

import asyncio
import subprocess

from app.core.settings import Settings
from tests.preloaded_python import run_python
from tests.processes import environment


async def run_cli(
    settings: Settings, *arguments: str, **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m app` with these settings; `env` adds variables or replaces some."""
    process_environment = environment(settings, **env)
    return await asyncio.to_thread(run_python, "app", *arguments, env=process_environment)
