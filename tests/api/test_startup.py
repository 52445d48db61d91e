"""A start that fails, as an ASGI server sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from app.api.middleware.one_line_startup_error import OneLineStartupErrorMiddleware
from app.core.errors import SchemaOutdated


async def _startup_messages(error: Exception | None) -> list[Message]:
    """Start and stop an application, and give what the server is told."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if error is not None:
            raise error
        yield

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = OneLineStartupErrorMiddleware(Starlette(lifespan=lifespan))
    if error is None:
        await app({"type": "lifespan", "state": {}}, receive, send)
    else:
        with pytest.raises(type(error)):
            await app({"type": "lifespan", "state": {}}, receive, send)
    return sent


async def test_failure_with_a_name_is_told_in_one_line() -> None:
    assert await _startup_messages(SchemaOutdated("is old")) == [
        {"type": "lifespan.startup.failed", "message": "schema_outdated: is old"}
    ]


async def test_defect_keeps_its_traceback() -> None:
    (message,) = await _startup_messages(ZeroDivisionError("a defect"))
    assert "Traceback" in message["message"]


async def test_start_that_succeeds_is_passed_on() -> None:
    kinds = [message["type"] for message in await _startup_messages(None)]
    assert kinds == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
