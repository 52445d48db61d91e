"""The disk under the database has no room left."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.conftest import StartScenario
from tests.chaos.price_table import PriceTable
from tests.chaos.requirements import root_prefix
from tests.chaos.stack import running_stack
from tests.processes import Processes

FULL_SECONDS = 20
DISK = "size=160m,mode=755"
CHUNK = bytes(1 << 20)


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    """A disk of its own where the service keeps its data."""
    options = f"{DISK},uid={os.geteuid()}"
    subprocess.run(  # noqa: S603  # the system's own program
        [*root_prefix(), "mount", "-t", "tmpfs", "-o", options, "chaos", data_dir],
        check=True,
    )
    yield data_dir
    subprocess.run(  # noqa: S603  # the system's own program
        [*root_prefix(), "umount", "--lazy", data_dir], check=True
    )


@contextmanager
def full_disk(disk: Path) -> Iterator[None]:
    """Fill a disk while the context lasts."""
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
    small_disk: Path, processes: Processes, start_scenario: StartScenario
) -> None:
    async with running_stack(processes) as stack:
        scenario = await start_scenario(stack)
        async with scenario.fault(reason="the database (is away|refuses writes: disk full)"):
            with full_disk(small_disk):
                async with PriceTable(stack.database_url).connection() as connection:
                    # what it still writes fits into the room that its log has taken already
                    await connection.execute("SELECT pg_switch_wal()")
                await asyncio.sleep(FULL_SECONDS)
        assert (await scenario.wait_for_recovery()).lost
