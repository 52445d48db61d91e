"""Collects the reasons that `/health/collector` gives while something is broken."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import aiohttp

POLL_SECONDS = 0.5
ANSWER_SECONDS = 10
_REASON = re.compile(r"(?:s old|unknown|stored yet): (.*)")
_NUMBERS = re.compile(r"[0-9.]+ s\b")


class HealthMonitor:
    """Polls `/health/collector` of one API and keeps each reason given for a stale ticker."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/health/collector"
        self.reasons: set[str] = set()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        """Poll while the context lasts; times in which the API does not answer are skipped."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            poller = group.create_task(self._poll(session))
            try:
                yield
            finally:
                poller.cancel()

    async def _poll(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(self._url, timeout=timeout) as response:
                    assert response.status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
                    self._collect_reasons((await response.json())["checks"])
            await asyncio.sleep(POLL_SECONDS)

    def _collect_reasons(self, checks: dict[str, dict[str, str]]) -> None:
        for check in checks.values():
            if check["status"] == "failing" and (found := _REASON.search(check["detail"])):
                self.reasons.add(_NUMBERS.sub("# s", found[1]))
