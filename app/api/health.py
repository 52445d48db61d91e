"""The routes that tell whether the service works."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.api.schemas import CheckOut, HealthOut
from app.core.errors import AppError
from app.db.redis import ping
from app.db.schema import require_current
from app.services.freshness import Freshness

CHECK_TIMEOUT_SECONDS = 3.0
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
        _check(require_current(runtime.database)), _check(ping(runtime.redis))
    )
    return _health({"database": database, "broker": broker}, response)


@router.get("/collector", summary="Whether every ticker is fresh", responses=FAILING)
async def health_collector(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the age of every configured ticker's newest live price, by the exchange's clock."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            found = await runtime.freshness.look()
    except (AppError, TimeoutError) as error:
        return _health({"database": _failing(error)}, response)
    return _health({str(freshness.key): _judge(freshness) for freshness in found}, response)


async def _check(work: Awaitable[None]) -> CheckOut:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await work
    except (AppError, TimeoutError) as error:
        return _failing(error)
    return CheckOut(status="ok", detail="answers")


def _failing(error: Exception) -> CheckOut:
    words = str(error) if isinstance(error, AppError) else "no answer in time"
    return CheckOut(status="failing", detail=words)


def _judge(freshness: Freshness) -> CheckOut:
    if freshness.age_seconds is None:
        return CheckOut(status="failing", detail="no live price is stored yet")
    status = "ok" if freshness.is_fresh else "failing"
    return CheckOut(status=status, detail=f"the newest slot is {freshness.age_seconds} s old")


def _health(checks: Mapping[str, CheckOut], response: Response) -> HealthOut:
    is_ok = all(check.status == "ok" for check in checks.values())
    response.status_code = 200 if is_ok else 503
    return HealthOut(status="ok" if is_ok else "failing", checks=dict(checks))
