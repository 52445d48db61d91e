"""Gives every request an id, a log event and a count in the metrics."""

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
from app.core.metrics import HTTP_REQUEST_SECONDS, HTTP_REQUESTS, count, observe

REQUEST_ID_HEADER = "X-Request-ID"
VALID_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
UNMATCHED = "unmatched"
CLIENT_LEFT = 499
"""The status, as in nginx, of a request whose client left before the response began."""
ROUTE_KEY = "prices.route"
"""The scope's key for the route's template: a list, which all copies of the scope share."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


class AccessLogMiddleware:
    """Binds the request's id to the log, and logs and counts the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _request_id(scope)
        scope[ROUTE_KEY] = []
        status, response_seconds = CLIENT_LEFT, None
        started_at = perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status, response_seconds
            if message["type"] == "http.response.start":
                status, response_seconds = message["status"], perf_counter() - started_at
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with bound_contextvars(**{REQUEST_ID: request_id}):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                status = 500 if status == CLIENT_LEFT else status
                raise
            finally:
                seconds = perf_counter() - started_at
                _count(scope, status, seconds if response_seconds is None else response_seconds)
                _log(scope, status, seconds)


class RouteNameMiddleware:
    """Records the route's template; innermost, because others may copy the router's scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and record its route."""
        try:
            await self._app(scope, receive, send)
        finally:
            if ROUTE_KEY in scope:
                scope[ROUTE_KEY].append(_route_template(scope))


def _request_id(scope: Scope) -> str:
    client_id = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return client_id if VALID_ID.fullmatch(client_id) else uuid4().hex


def _count(scope: Scope, status: int, response_seconds: float) -> None:
    """Count by route and known method, so that clients can't create any number of metrics.

    What follows the start of a response depends on the client: a download, or a stream.
    """
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = (scope[ROUTE_KEY] or [UNMATCHED])[0]
    count(HTTP_REQUESTS, method, route, status)
    observe(HTTP_REQUEST_SECONDS, response_seconds, method, route)


def _log(scope: Scope, status: int, seconds: float) -> None:
    _log_method(status)(
        "request_served",
        method=scope["method"],
        path=scope["path"],
        status=status,
        milliseconds=round(1000 * seconds, 1),
    )


def _log_method(status: int) -> Callable[..., None]:
    """Return the log method for a status; during an outage warnings are summed up."""
    if status < HTTPStatus.BAD_REQUEST:
        return log.debug  # type: ignore[no-any-return]  # structlog's loggers are lazy
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return log.info  # type: ignore[no-any-return]  # same
    return log.warning  # type: ignore[no-any-return]  # same


def _route_template(scope: Scope) -> str:
    """Return the whole template of the route; FastAPI's own lacks the router's prefix."""
    if "route" not in scope:
        return UNMATCHED
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        if value:
            head, _, tail = path.rpartition(str(value))
            path = f"{head}{{{name}}}{tail}"
    return path
