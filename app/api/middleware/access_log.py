"""Every request gets an id, a line in the log and a place in the metrics."""

import re
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.core.logs import REQUEST_ID
from app.core.metrics import HTTP_REQUESTS, count

HEADER = "X-Request-ID"
SANE_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
UNMATCHED = "unmatched"
ROUTE = "prices.route"
"""Where in a scope the route is noted, in a list that every layer's copy of the scope shares."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


class AccessLogMiddleware:
    """Binds the request's id, its own or a new one, and tells what became of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _request_id(scope)
        scope[ROUTE] = []
        status = 500
        began = perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound_contextvars(**{REQUEST_ID: request_id}):
            try:
                await self._app(scope, receive, noting)
            finally:
                _tell(scope, status, perf_counter() - began)


class RouteNameMiddleware:
    """The innermost layer: what it sees is the router's own scope, which others may have copied."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and note which route it was for."""
        try:
            await self._app(scope, receive, send)
        finally:
            if ROUTE in scope:
                scope[ROUTE].append(_route(scope))


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(HEADER, "")
    return given if SANE_ID.fullmatch(given) else uuid4().hex


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """Count by route and known method, so that nobody can fill the metrics from outside."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    count(HTTP_REQUESTS, method, (scope[ROUTE] or [UNMATCHED])[0], status)
    _level(status)(
        "request_served",
        method=scope["method"],
        path=scope["path"],
        status=status,
        milliseconds=round(1000 * seconds, 1),
    )


def _level(status: int) -> Callable[..., None]:
    """Choose the level of a request's line; during an outage warnings are summed up."""
    if status < HTTPStatus.BAD_REQUEST:
        return log.debug  # type: ignore[no-any-return]  # structlog's loggers are lazy
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return log.info  # type: ignore[no-any-return]  # same
    return log.warning  # type: ignore[no-any-return]  # same


def _route(scope: Scope) -> str:
    """Give the route's template; FastAPI keeps only the part below the router's prefix."""
    if "route" not in scope:
        return UNMATCHED
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        if value:
            head, _, tail = path.rpartition(str(value))
            path = f"{head}{{{name}}}{tail}"
    return path
