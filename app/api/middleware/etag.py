"""Adds ETags to responses, and answers 304 to clients that have the current one."""

from hashlib import blake2b
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT_IN_304 = frozenset(
    {"cache-control", "content-location", "date", "etag", "expires", "link", "vary"}
)


class ETagMiddleware:
    """Adds an ETag to each response that is not streamed, and answers 304 if the client has it."""

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
    """Delays the start of a response until its body is there, from which the ETag is computed."""

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
            await self._send_response(start, message)

    async def _send_response(self, start: Message, message: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        tag = headers.setdefault("ETag", weak_etag(message.get("body", b"")))
        headers.setdefault("Cache-Control", "no-cache")  # caches revalidate it
        if not self._known & {tag.removeprefix("W/"), "*"}:
            await self._send(start)
            await self._send(message)
            return
        headers_of_304 = [
            (name, value) for name, value in start["headers"] if name.decode() in KEPT_IN_304
        ]
        await self._send({**start, "status": 304, "headers": headers_of_304})
        await self._send({"type": "http.response.body"})


def weak_etag(body: bytes) -> str:
    """Return a weak validator: compression changes the bytes but not the content."""
    return f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
