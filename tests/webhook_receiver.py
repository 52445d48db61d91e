"""A webhook endpoint over real HTTP that fails on demand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "hush-hush"  # noqa: S105  # invented


class WebhookReceiver:
    """Stores the body of each request that it accepts, and counts all requests."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.attempts = 0
        self.status = 200
        self.url = ""

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(body["event"], body["ticker"]) for body in self.bodies]

    async def has_received(self, number: int) -> bool:
        return len(self.bodies) >= number

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.attempts += 1
        if self.status == 200:
            self.bodies.append(await request.json())
        headers = {"Location": self.url} if self.status == 307 else None
        return web.Response(status=self.status, headers=headers)


@asynccontextmanager
async def running_webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """Run a webhook endpoint on a free port."""
    receiver = WebhookReceiver()
    runner = web.ServerRunner(web.Server(receiver.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{TOKEN}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
