"""The routes that report whether the service works."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Response

from app.api.dependencies import RuntimeDep
from app.api.schemas import CheckOut, HealthOut
from app.core.errors import AppError
from app.domain.health import (
    NO_ANSWER_IN_TIME,
    WORST_CLOCK_SECONDS,
    Freshness,
    HealthReport,
    ProcessStatus,
)
from app.postgres.schema import require_compatible_database
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
        _check(require_compatible_database(runtime.database)), _check(ping(runtime.redis))
    )
    return _health({"database": database, "broker": broker}, response)


@router.get("/collector", summary="Whether every ticker is fresh, else why", responses=FAILING)
async def health_collector(runtime: RuntimeDep, response: Response) -> HealthOut:
    """Look at the age of every ticker's newest live price, at beat, the workers and the clocks."""
    report = await runtime.freshness.check(runtime.now())
    return _health(dict(_report_checks(report)), response)


def _report_checks(report: HealthReport) -> Iterator[tuple[str, CheckOut]]:
    for ticker in report.tickers:
        yield str(ticker.key), _result(_age_detail(ticker, report), is_ok=ticker.is_fresh)
    for name in ("database", "broker"):
        if trouble := getattr(report, f"{name}_trouble"):
            yield name, _result(trouble, is_ok=False)
    if report.processes is not None:
        trouble = report.beat_trouble()
        yield "beat", _result(trouble or _celery_beat_detail(report.processes), is_ok=not trouble)
        trouble = report.worker_trouble()
        detail = _worker_detail(report.processes, report.silent_workers())
        yield "worker", _result(trouble or detail, is_ok=not trouble)
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


def _celery_beat_detail(processes: ProcessStatus) -> str:
    beats = processes.beats.values()
    return f"reported {min(beats):.0f} s ago" if beats else "none has reported"


def _worker_detail(processes: ProcessStatus, silent: Mapping[str, float]) -> str:
    at_work = len(processes.workers) - len(silent)
    summary = f"{at_work} at work" if processes.workers else "none has reported"
    detail = (f"{name} has been silent for {seconds:.0f} s" for name, seconds in silent.items())
    return "; ".join([summary, *detail])


def _clock_check(report: HealthReport) -> CheckOut:
    detail = "; ".join(map(str, report.clocks)) or "no live price to compare with"
    worst = max((abs(clocks.database_seconds) for clocks in report.clocks), default=0)
    if worst > WORST_CLOCK_SECONDS:
        return _result(f"{detail}; beyond an hour prices are refused", is_ok=False)
    return _result(detail, is_ok=True)


async def _check(work: Awaitable[None]) -> CheckOut:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await work
    except (AppError, TimeoutError) as error:
        return _result(str(error) or NO_ANSWER_IN_TIME, is_ok=False)
    except Exception as error:
        log.exception("check_broke")
        return _result(f"{type(error).__name__}: the log tells more", is_ok=False)
    return _result("answers", is_ok=True)


def _result(detail: str, *, is_ok: bool) -> CheckOut:
    return CheckOut(status="ok" if is_ok else "failing", detail=detail)


def _health(checks: Mapping[str, CheckOut], response: Response) -> HealthOut:
    is_ok = all(check.status == "ok" for check in checks.values())
    response.status_code = 200 if is_ok else 503
    return HealthOut(status="ok" if is_ok else "failing", checks=dict(checks))
