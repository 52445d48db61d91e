"""Answers HEAD for every route: as GET, without the body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):  # not an error: it ends the work on the body
    """The response to a HEAD is complete."""


class HeadMiddleware:
    """Answers a HEAD as a GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body"})
                raise _HeadersSent

        try:
            await self._app({**scope, "method": "GET"}, receive, send_head)
        except _HeadersSent:
            return
