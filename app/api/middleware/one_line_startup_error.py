"""Reports a failed start in one line, where Starlette would report a traceback."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import AppError


class OneLineStartupErrorMiddleware:
    """Reports an AppError at start in one line; other errors keep their traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or run the lifespan."""

        async def send_in_one_line(message: Message) -> None:
            error = sys.exception()  # Starlette sends its failure while it handles the error
            if message["type"] == "lifespan.startup.failed" and isinstance(error, AppError):
                message = {**message, "message": f"{error.code}: {error}"}
            await send(message)

        is_request = scope["type"] != "lifespan"
        await self._app(scope, receive, send if is_request else send_in_one_line)
