"""What health says while something is broken: asked all the time, and held against the fault."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import aiohttp

LOOK_SECONDS = 0.5
ANSWER_SECONDS = 10
_REASON = re.compile(r"(?:s old|unknown|stored yet): (.*)")
_NUMBERS = re.compile(r"[0-9.]+ s\b")


class Health:
    """One API's `/health/collector`, and every reason that it gave for a stale ticker."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/health/collector"
        self.reasons: set[str] = set()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Note the reasons while the context lasts; an API that is away says nothing."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(session))
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(self._url, timeout=timeout) as response:
                    assert response.status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
                    self._note((await response.json())["checks"])
            await asyncio.sleep(LOOK_SECONDS)

    def _note(self, checks: dict[str, dict[str, str]]) -> None:
        for check in checks.values():
            if check["status"] == "failing" and (found := _REASON.search(check["detail"])):
                self.reasons.add(_NUMBERS.sub("# s", found[1]))
