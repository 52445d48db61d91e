"""ETags of whole answers, and 304 for a client that has the answer already."""

from hashlib import blake2b
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT_IN_304 = frozenset(
    {"cache-control", "content-location", "date", "etag", "expires", "link", "vary"}
)


class ETagMiddleware:
    """Gives each whole answer an ETag, and answers 304 where the client has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known_tags = Headers(scope=scope).get("if-none-match", "")
        await self._app(scope, receive, _ETagSender(send, known_tags))


class _ETagSender:
    """Holds an answer's head back until its body tells its ETag."""

    def __init__(self, send: Send, known_tags: str) -> None:
        self._send = send
        self._known = {tag.strip().removeprefix("W/") for tag in known_tags.split(",")}
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
        tag = headers.setdefault("ETag", weak_etag(message.get("body", b"")))
        headers.setdefault("Cache-Control", "no-cache")  # it may be kept, and is to be revalidated
        if not self._known & {tag.removeprefix("W/"), "*"}:
            await self._send(start)
            await self._send(message)
            return
        kept = [(name, value) for name, value in start["headers"] if name.decode() in KEPT_IN_304]
        await self._send({**start, "status": 304, "headers": kept})
        await self._send({"type": "http.response.body"})


def weak_etag(body: bytes) -> str:
    """Give a weak validator, for compression changes the bytes and not what they say."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
