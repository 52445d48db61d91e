"""One statement over PostgreSQL's own protocol, for a supervisor that loads no driver."""

import asyncio
import struct
from pathlib import Path
from typing import Final

_PROTOCOL: Final = 0x30000  # version 3.0
_ERROR: Final = b"E"
_READY: Final = b"Z"
_AUTHENTICATION: Final = b"R"
_TERMINATE: Final = b"X\x00\x00\x00\x04"
_MAX_BYTES: Final = 1_000_000


async def execute(socket: Path, user: str, database: str, sql: str) -> str | None:
    """Execute a statement in a connection of its own; return the SQLSTATE of an error.

    Raises:
        OSError, EOFError: nobody listens, or the connection ended.
        ValueError: whoever answers asks for a password, or speaks another protocol.
    """
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(_startup(user, database))
        if state := await _until_ready(reader):
            return state
        writer.write(_query(sql))
        state = await _until_ready(reader)
        writer.write(_TERMINATE)
        return state
    finally:
        writer.close()  # once what is written is sent


def _startup(user: str, database: str) -> bytes:
    words = ("user", user, "database", database)
    body = struct.pack("!i", _PROTOCOL) + b"".join(_text(word) for word in words) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def _query(sql: str) -> bytes:
    body = _text(sql)
    return b"Q" + struct.pack("!i", len(body) + 4) + body


def _text(words: str) -> bytes:
    return words.encode() + b"\0"


async def _until_ready(reader: asyncio.StreamReader) -> str | None:
    """Read until the server is ready for a statement; a refused connection ends with its error."""
    state = None
    while True:
        kind, body = await _message(reader)
        if kind == _READY:
            return state
        if kind == _AUTHENTICATION and body != b"\0\0\0\0":
            raise ValueError("PostgreSQL asks for a password")
        if kind == _ERROR:
            state, severity = _field(body, b"C"), _field(body, b"V")
            if severity in {"FATAL", "PANIC"}:
                return state


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!ci", await reader.readexactly(5))
    if not 4 <= length <= _MAX_BYTES:  # noqa: PLR2004  # the length counts itself
        raise ValueError("this is not PostgreSQL")
    return kind, await reader.readexactly(length - 4)


def _field(body: bytes, code: bytes) -> str:
    """Give a field of an error: each has a letter and a text, which ends with a zero."""
    (found,) = [field[1:].decode() for field in body.split(b"\0") if field[:1] == code]
    return found
