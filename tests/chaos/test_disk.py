"""The disk under the database has no room left."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.needs import as_root
from tests.chaos.record import Record
from tests.chaos.stack import running_stack
from tests.processes import Processes

FULL_SECONDS = 20
DISK = "size=160m,mode=755"
CHUNK = bytes(1 << 20)


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A disk of its own where the service keeps its data."""
    subprocess.run(  # noqa: S603  # the system's own program
        [*as_root(), "mount", "-t", "tmpfs", "-o", f"{DISK},uid={os.geteuid()}", "chaos", home],
        check=True,
    )
    yield home
    subprocess.run(  # noqa: S603  # the system's own program
        [*as_root(), "umount", "--lazy", home], check=True
    )


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no room on a disk while the context lasts."""
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        _fill(ballast)
    try:
        yield
    finally:
        ballast.unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(CHUNK)


@pytest.mark.chaos("the database's disk full", seconds=80)
async def test_slots_lost_while_the_disk_is_full_come_back(
    small_disk: Path, processes: Processes, begin: Begin
) -> None:
    async with running_stack(processes) as stack:
        scenario = await begin(stack)
        async with scenario.fault(says="the database (is away|refuses writes: disk full)"):
            with filled(small_disk):
                async with Record(stack.database_url).connection() as connection:
                    # what it still writes fits into the room that its log has taken already
                    await connection.execute("SELECT pg_switch_wal()")
                await asyncio.sleep(FULL_SECONDS)
        assert (await scenario.whole()).lost
