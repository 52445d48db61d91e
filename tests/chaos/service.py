"""What a scenario needs of a running service, however it was put together."""

import asyncio
from typing import Protocol

from tests.processes import Process

COMMAND_SECONDS = 60


class Service(Protocol):
    """A service whose database and commands can be reached."""

    @property
    def database_url(self) -> str:
        """The database with its prices."""

    async def command(self, *words: str) -> str:
        """Run one of the service's commands and return its output."""


async def wait_for_output(process: Process) -> str:
    """Wait for a command, which must succeed, and return its output."""
    code = await asyncio.to_thread(process.popen.wait, COMMAND_SECONDS)
    assert code == 0, process.output
    return process.output
