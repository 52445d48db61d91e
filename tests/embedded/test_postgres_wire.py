"""The supervisor's questions to PostgreSQL, asked of a real server and of strangers."""

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.embedded.postgres import ROLE
from app.embedded.postgres_wire import execute
from app.embedded.servers import running_servers

REFUSED = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:  # short: a socket lies in it
        yield Path(name)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def asked_of(stranger: bytes, folder: Path) -> str | None:
    """Ask somebody who answers every question with the same bytes, and then ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(stranger)
        writer.close()

    async with await asyncio.start_unix_server(answer, folder / "socket"):
        return await execute(folder / "socket", "user", "database", "SELECT 1")


async def test_answers_of_a_server_are_told_by_their_code(folder: Path) -> None:
    async with running_servers(folder, fast=True) as servers:
        socket = Path(servers.database_url.partition("host=")[2]) / ".s.PGSQL.5432"
        assert await execute(socket, ROLE, "prices", "SELECT 'a', 'row'") is None
        assert await execute(socket, ROLE, "prices", "SELEKT") == "42601"
        assert await execute(socket, ROLE, "absent", "SELECT 1") == "3D000"


async def test_server_that_starts_up_refuses_with_a_code(folder: Path) -> None:
    assert await asked_of(message(b"E", REFUSED), folder) == "57P03"


@pytest.mark.parametrize(
    "stranger",
    [message(b"R", struct.pack("!i", 3)), b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["asks for a password", "speaks HTTP"],
)
async def test_stranger_is_told_from_a_server(folder: Path, stranger: bytes) -> None:
    with pytest.raises(ValueError, match="PostgreSQL"):
        await asked_of(stranger, folder)


async def test_connection_that_ends_at_once_is_an_error(folder: Path) -> None:
    with pytest.raises((EOFError, OSError)):
        await asked_of(b"", folder)
