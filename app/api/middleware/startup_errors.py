"""Reports a failed start in one line, where Starlette would report a traceback."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import AppError


class StartupErrorMiddleware:
    """Reports an AppError at start in one line; other errors keep their traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        failures: list[Message] = []

        async def hold_failures(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)  # it comes before the error that caused it
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failures)
        except BaseException as error:
            for message in failures:
                await send(_in_one_line(message, error))
            raise


def _in_one_line(message: Message, error: BaseException) -> Message:
    if not isinstance(error, AppError):
        return message
    return {**message, "message": f"{error.code}: {error}"}
