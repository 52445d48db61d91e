"""Backup and move of the embedded database, by the very commands of docs/deployment.md."""

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.embedded.data_dir import write_server_urls
from app.embedded.servers import EmbeddedServers, running_servers
from tests.processes import PROJECT

GUIDE = (PROJECT / "docs/deployment.md").read_text()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside of pytest's, which PostgreSQL's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="backup-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def guide_commands(name: str) -> str:
    """Give the commands that stand below a marker in the guide."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found[1]


async def run_commands(script: str, folder: Path, data_dir: Path) -> None:
    """Run commands of the guide in a folder, with this Python and this data."""
    script = script.replace(".venv/bin/python", sys.executable).replace(".data", str(data_dir))
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-e",
        "-c",
        script,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
    )
    assert await shell.wait() == 0


async def fetch_values(servers: EmbeddedServers, statement: str) -> list[object]:
    connection = await asyncpg.connect(servers.database_url.replace("+asyncpg", ""))
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_embedded_database_is_dumped_and_restored_as_the_guide_says(folder: Path) -> None:
    async with running_servers(folder / "old", fast=True) as old:
        await fetch_values(old, "CREATE TABLE kept AS SELECT generate_series(1, 3) AS number")
        write_server_urls(folder / "old", old.urls)
        await run_commands(guide_commands("embedded dump"), folder, folder / "old")
    async with running_servers(folder / "new", fast=True) as new:
        write_server_urls(folder / "new", new.urls)
        await run_commands(guide_commands("embedded restore"), folder, folder / "new")
        await run_commands(
            guide_commands("embedded restore"), folder, folder / "new"
        )  # in place of what is there
        assert await fetch_values(new, "SELECT number FROM kept ORDER BY 1") == [1, 2, 3]


async def test_embedded_database_moves_with_its_folder(folder: Path) -> None:
    assert guide_commands("embedded move").startswith("cp -a .data ")
    async with running_servers(folder / "old", fast=True) as old:
        await fetch_values(old, "CREATE TABLE kept AS SELECT 1 AS number")
    await run_commands("cp -a .data moved", folder, folder / "old")
    shutil.rmtree(folder / "old")
    async with running_servers(folder / "moved", fast=True) as moved:
        assert await fetch_values(moved, "SELECT number FROM kept") == [1]
