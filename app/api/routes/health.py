"""The routes that report whether the service works."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Response

from app.api.dependencies import RuntimeDep
from app.api.schemas import CheckOut, HealthOut
from app.core.errors import AppError
from app.domain.freshness import WORST_CLOCK_SECONDS, Freshness, HealthReport
from app.postgres.schema import require_current_schema
from app.redis.client import ping

CHECK_TIMEOUT_SECONDS = 3.0
FAILING: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthOut, "description": "Something does not work; it says what."}
}

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", summary="Whether the process answers")
async def health_live() -> HealthOut:
    """Answer whenever the process can."""
    return HealthOut(status="ok", checks={})


@router.get("/ready", summary="Whether requests can be served", responses=FAILING)
async def health_ready(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the database, its schema, and the broker."""
    database, broker = await asyncio.gather(
        _check(require_current_schema(runtime.database)), _check(ping(runtime.redis))
    )
    return _health({"database": database, "broker": broker}, response)


@router.get("/collector", summary="Whether every ticker is fresh, else why", responses=FAILING)
async def health_collector(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the age of every ticker's newest live price, at beat, the workers and the clocks."""
    report = await runtime.freshness.check(runtime.now())
    return _health(dict(_collector_checks(report)), response)


def _collector_checks(report: HealthReport) -> Iterator[tuple[str, CheckOut]]:
    for ticker in report.tickers:
        status = "ok" if ticker.is_fresh else "failing"
        yield str(ticker.key), CheckOut(status=status, detail=_age_detail(ticker, report))
    for name in ("database", "broker"):
        if trouble := getattr(report, f"{name}_trouble"):
            yield name, CheckOut(status="failing", detail=trouble)
    if report.processes is not None:
        yield "beat", _process_check(report.beat_trouble(), _beat_detail(report))
        yield "worker", _process_check(report.worker_trouble(), _worker_detail(report))
    if not report.database_trouble:
        yield "clock", _clock_check(report)


def _age_detail(ticker: Freshness, report: HealthReport) -> str:
    if ticker.age_seconds is not None:
        age = f"the newest slot is {ticker.age_seconds} s old"
    elif report.database_trouble:
        age = "the age of the newest slot is unknown"
    else:
        age = "no live price is stored yet"
    return age if ticker.is_fresh else f"{age}: {report.reason(ticker.key)}"


def _process_check(problem: str, ok_detail: str) -> CheckOut:
    return CheckOut(status="failing" if problem else "ok", detail=problem or ok_detail)


def _beat_detail(report: HealthReport) -> str:
    beats = report.processes.beats if report.processes else {}
    return f"reported {min(beats.values()):.0f} s ago" if beats else "none has reported"


def _worker_detail(report: HealthReport) -> str:
    workers = report.processes.workers if report.processes else {}
    silent = report.silent_workers()
    detail = [f"{name} has been silent for {seconds:.0f} s" for name, seconds in silent.items()]
    return "; ".join(
        [f"{len(workers) - len(silent)} at work" if workers else "none has reported", *detail]
    )


def _clock_check(report: HealthReport) -> CheckOut:
    detail = "; ".join(map(str, report.clocks)) or "no live price to compare with"
    worst = max((abs(clocks.database_seconds) for clocks in report.clocks), default=0)
    if worst > WORST_CLOCK_SECONDS:
        return CheckOut(status="failing", detail=f"{detail}; beyond an hour prices are refused")
    return CheckOut(status="ok", detail=detail)


async def _check(work: Awaitable[None]) -> CheckOut:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await work
    except (AppError, TimeoutError) as error:
        return _failed_check(error)
    except Exception as error:
        log.exception("check_broke")
        return CheckOut(status="failing", detail=f"{type(error).__name__}: the log tells more")
    return CheckOut(status="ok", detail="answers")


def _failed_check(error: Exception) -> CheckOut:
    detail = str(error) if isinstance(error, AppError) else "no answer in time"
    return CheckOut(status="failing", detail=detail)


def _health(checks: Mapping[str, CheckOut], response: Response) -> HealthOut:
    is_ok = all(check.status == "ok" for check in checks.values())
    response.status_code = 200 if is_ok else 503
    return HealthOut(status="ok" if is_ok else "failing", checks=dict(checks))
