"""HTTP's courtesies, for every route: HEAD, gzip, and ETags with 304."""

from hashlib import blake2b
from http import HTTPStatus

from fastapi.middleware.gzip import GZipMiddleware
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.encodings import takes_gzip

KEPT_IN_304 = frozenset(
    {"cache-control", "content-location", "date", "etag", "expires", "link", "vary"}
)


class _HeadAnswered(Exception):  # no error: it ends the work on a body nobody wants
    """Everything that a HEAD asks for has been sent."""


class Heads:
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
                raise _HeadAnswered

        try:
            await self._app({**scope, "method": "GET"}, receive, send_head)
        except _HeadAnswered:
            return


class Gzip(GZipMiddleware):
    """Compresses for who asks for it; the layer beneath takes `gzip;q=0` for a wish, too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not takes_gzip(
            Headers(scope=scope).get("accept-encoding", "")
        ):
            asked = [item for item in scope["headers"] if item[0] != b"accept-encoding"]
            scope = {**scope, "headers": asked}
        await super().__call__(scope, receive, send)


class Validators:
    """Gives each whole answer an ETag, and answers 304 where the client has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("if-none-match", "")
        await self._app(scope, receive, _Validated(send, asked))


class _Validated:
    """Holds an answer's head back until its body tells its ETag."""

    def __init__(self, send: Send, asked: str) -> None:
        self._send = send
        self._known = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            await self._send(message)
        elif message.get("more_body"):  # a stream is not held back
            await self._send(start)
            await self._send(message)
        else:
            await self._answer(start, message)

    async def _answer(self, start: Message, message: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        tag = headers.setdefault("ETag", tag_of(message.get("body", b"")))
        headers.setdefault("Cache-Control", "no-cache")  # it may be kept, and must be asked for
        if not self._known & {tag.removeprefix("W/"), "*"}:
            await self._send(start)
            await self._send(message)
            return
        kept = [(name, value) for name, value in start["headers"] if name.decode() in KEPT_IN_304]
        await self._send({**start, "status": 304, "headers": kept})
        await self._send({"type": "http.response.body"})


def tag_of(body: bytes) -> str:
    """Give a weak validator, for compression changes the bytes and not what they say."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
