"""The listening socket, which can go away for a while and come back on the same port."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_SHUTDOWN_SECONDS: Final = 0.5


class Listener:
    """One address, served by one request handler."""

    def __init__(
        self, handler: Handler, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Prepare to listen; port 0 becomes a free one when it does."""
        self.port = port
        self._handler = handler
        self._host = host
        self._tls = tls
        self._closing = asyncio.Event()
        self._outages: set[asyncio.Task[None]] = set()
        self._one_outage = asyncio.Lock()

    @property
    def url(self) -> str:
        """Return the address as clients write it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def is_down(self) -> bool:
        """Say whether connections are refused for now."""
        return bool(self._outages)

    async def open(self) -> None:
        """Listen; from now on `port` is the real one."""
        # A client that gave up is no longer in flight, so its handler ends with it.
        self._server = web.Server(self._handler, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        try:
            await self._listen()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """End every wait, drop the connections and stop listening."""
        self._closing.set()
        try:
            await asyncio.gather(*self._outages)
        finally:
            await self._runner.cleanup()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the exchange's end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    def start_outage(self, seconds: float, last: asyncio.BaseProtocol | None = None) -> None:
        """Refuse connections for some time and drop those there are, all but `last`."""
        outage = asyncio.create_task(self._outage(seconds, last))
        self._outages.add(outage)
        outage.add_done_callback(self._outages.discard)

    async def _outage(self, seconds: float, last: asyncio.BaseProtocol | None) -> None:
        async with self._one_outage:
            await self._site.stop()
            for connection in self._server.connections:
                if connection is not last:
                    connection.force_close()
            await self.sleep(seconds)
            if not self._closing.is_set():
                await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(
            self._runner, self._host, self.port, ssl_context=self._tls, backlog=1_024
        )
        await self._site.start()
