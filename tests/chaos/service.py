"""What a scenario needs of a running service, however it was put together."""

import asyncio
from typing import Protocol

from tests.processes import Process

COMMAND_SECONDS = 60


class Service(Protocol):
    """A service whose database and commands can be reached."""

    @property
    def database_url(self) -> str:
        """Where its record is."""

    async def command(self, *words: str) -> str:
        """Run one of the service's commands; give what it prints."""


async def printed(process: Process) -> str:
    """Wait for a command that succeeds; give what it prints."""
    code = await asyncio.to_thread(process.popen.wait, COMMAND_SECONDS)
    assert code == 0, process.output
    return process.output
