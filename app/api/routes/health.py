"""The routes that report whether the service works."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response

from app.api.dependencies import RuntimeDep
from app.api.health_schemas import CheckOut, HealthOut
from app.domain.health_checks import collector_checks
from app.postgres.schema_version import require_compatible_database
from app.redis.client import ping
from app.services.health.timed_query import Answer, run_timed

FAILING: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthOut, "description": "Something does not work; it says what."}
}

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Whether the process answers")
async def health_live() -> HealthOut:
    """Answer whenever the process can."""
    return HealthOut(status="ok", checks={})


@router.get("/ready", summary="Whether requests can be served", responses=FAILING)
async def health_ready(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the database, its schema, and the broker."""
    database, broker = await asyncio.gather(
        run_timed(require_compatible_database(runtime.database)), run_timed(ping(runtime.redis))
    )
    return _health({"database": _server_check(database), "broker": _server_check(broker)}, response)


@router.get("/collector", summary="Whether every ticker is fresh, else why", responses=FAILING)
async def health_collector(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the age of every ticker's newest live price, at beat, the workers and the clocks."""
    report = await runtime.freshness.check(runtime.now())
    checks = {
        name: _result(detail, is_ok=is_ok) for name, detail, is_ok in collector_checks(report)
    }
    return _health(checks, response)


def _server_check(answer: Answer[None]) -> CheckOut:
    return _result(answer.trouble or "answers", is_ok=not answer.trouble)


def _result(detail: str, *, is_ok: bool) -> CheckOut:
    return CheckOut(status="ok" if is_ok else "failing", detail=detail)


def _health(checks: Mapping[str, CheckOut], response: Response) -> HealthOut:
    is_ok = all(check.status == "ok" for check in checks.values())
    response.status_code = 200 if is_ok else 503
    return HealthOut(status="ok" if is_ok else "failing", checks=dict(checks))
