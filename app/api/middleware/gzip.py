"""Compression of answers for clients that accept gzip."""

from fastapi.middleware.gzip import GZipMiddleware
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from app.api.accept_encoding import accepts_gzip


class WeightedGzipMiddleware(GZipMiddleware):
    """Compresses for clients that accept gzip; Starlette's own compresses for `gzip;q=0`, too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not accepts_gzip(
            Headers(scope=scope).get("accept-encoding", "")
        ):
            headers = [item for item in scope["headers"] if item[0] != b"accept-encoding"]
            scope = {**scope, "headers": headers}
        await super().__call__(scope, receive, send)
