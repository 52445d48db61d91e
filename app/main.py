"""The API process; uvicorn serves `app`."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute

from app import __version__
from app.api.errors import UDF_PATH, add_error_handlers
from app.api.middleware.fast_path import FastPathHandlers
from app.api.middleware.stack import add_middleware
from app.api.process_metrics import publishing_metrics
from app.api.routes import (
    candles,
    coverage,
    exports,
    health,
    metrics,
    page,
    prices,
    status,
    stream,
    tasks,
    tickers,
    udf,
)
from app.api.schemas import ParameterProblemOut, ParametersProblemOut, ProblemOut
from app.api.shutdown_signals import calling_at_shutdown
from app.api.unknown_parameters import refuse_unknown_parameters
from app.core.errors import BrokerUnavailable
from app.core.exit_messages import exiting_on_errors, warn_of_misspelled_settings
from app.core.gc_tuning import tune_gc
from app.core.logs import configure_logs, quiet_loggers
from app.core.server_urls import redis_url
from app.core.settings import Settings, load_settings
from app.redis.client import ping
from app.redis.diagnosis import describe_redis_unavailable
from app.runtime import Runtime, alert_lifespan, cache_lifespan, open_runtime, require_servers

log = structlog.get_logger(__name__)

API_PREFIX = "/api/v1"
API_POOL_SIZE = 9
"""One more connection is reserved for the read cache, which must get through."""
LOCK_WAIT_SECONDS = 2.0
"""A read of a table that someone locked is a 503 rather than a hang."""
DESCRIPTION = """
The index prices of crypto exchanges, recorded every minute, exactly once.

Times come in as UNIX seconds, UNIX milliseconds, ISO 8601, `now` or `-24h` and go out as UNIX
seconds, UTC. A parameter that a route does not have is refused, and the nearest known one named.
Prices are JSON numbers with exactly the digits that the exchange sent. Errors are
`application/problem+json` with a stable `code`. Below `/udf`, TradingView's protocol
applies instead: unknown parameters are ignored, and errors have its form.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; it connects to its servers when it starts.

    Raises:
        SettingsError: a setting makes no sense.
    """
    loaded = settings or load_settings()
    configure_logs(loaded.log_level, loaded.log_format)
    warn_of_misspelled_settings()
    quiet_loggers("uvicorn.access")  # AccessLogMiddleware logs every request, with its id
    app: FastAPI = FastAPIOffline(
        routes=_routes(),
        title="Deribit price collector",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        favicon_url="data:,",
        telemetry={"tracing": False, "metrics": False, "logs": False},  # /metrics is ours
    )
    app.state.settings = loaded
    add_error_handlers(app)
    _document_problems(app)
    add_middleware(app, loaded)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = app.state.settings
    await require_servers(settings, broker=False)
    async with open_runtime(
        settings, pool_size=API_POOL_SIZE, lock_wait_seconds=LOCK_WAIT_SECONDS
    ) as runtime:
        await _warn_without_broker(runtime)
        app.state.runtime = runtime
        app.state.has_celery = False
        with ExitStack() as app.state.until_end:
            async with (
                publishing_metrics(runtime),
                alert_lifespan(runtime),
                cache_lifespan(runtime),
            ):
                app.state.fast_path = FastPathHandlers(runtime)
                tune_gc()
                with calling_at_shutdown(runtime.price_stream.begin_closing):
                    yield


async def _warn_without_broker(runtime: Runtime) -> None:
    """Log that Redis is away; the API starts all the same and serves stored prices."""
    try:
        await ping(runtime.redis)
    except BrokerUnavailable as error:
        consequence = "reads work; tasks, sums of metrics and heartbeats wait for Redis"
        detail = describe_redis_unavailable(error, redis_url(runtime.settings))
        log.warning(error.code, detail=detail, consequence=consequence)


@cache
def _routes() -> list[BaseRoute]:
    """Build the routes, once in a process: they are the same for all settings."""
    router = APIRouter(generate_unique_id_function=lambda route: route.name)
    for module in (prices, stream, candles, exports, tickers, coverage, status):
        router.include_router(
            module.router, prefix=API_PREFIX, dependencies=[Depends(refuse_unknown_parameters)]
        )
    # it checks the key before the parameters
    router.include_router(tasks.router, prefix=API_PREFIX)
    for module in (health, metrics, udf, page):
        router.include_router(module.router)
    for path in ("/prices", "/prices/{rest:path}", "/tasks/{rest:path}"):
        router.add_api_route(
            path, _redirect_short_address, methods=["GET", "POST"], include_in_schema=False
        )
    return router.routes


async def _redirect_short_address(request: Request) -> RedirectResponse:
    """Redirect a short address to its route; 308 keeps the method."""
    path, query = (request.scope[part].decode("latin-1") for part in ("raw_path", "query_string"))
    return RedirectResponse(f"{API_PREFIX}{path}{query and '?'}{query}", status_code=308)


def _document_problems(app: FastAPI) -> None:
    """Add the schemas of problems, which no route names, and remove FastAPI's own 422."""
    original_openapi = app.openapi

    @cache
    def openapi_with_problems() -> dict[str, Any]:
        document = original_openapi()
        schemas = document["components"]["schemas"]
        for model in (ProblemOut, ParameterProblemOut, ParametersProblemOut):
            schemas[model.__name__] = model.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            schemas[model.__name__].pop("$defs", None)
        _remove_validation_errors(document)
        return document

    app.openapi = openapi_with_problems  # type: ignore[method-assign]  # FastAPI's documented way


def _remove_validation_errors(document: dict[str, Any]) -> None:
    """Remove FastAPI's own 422, which the routes of the UDF protocol never answer."""
    for path, item in document["paths"].items():
        if path.startswith(f"{UDF_PATH}/"):
            item["get"]["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


with exiting_on_errors():
    app = create_app()
