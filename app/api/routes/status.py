"""The route that reports what `/health/collector` knows, as data for programs and the dashboard."""

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter

from app import __version__
from app.api.dependencies import RuntimeDep
from app.api.errors import problem_responses
from app.api.health_schemas import (
    ClocksOut,
    ExchangeStatusOut,
    ProcessStatusOut,
    ServerStatusOut,
    StatusOut,
    TickerStatusOut,
)
from app.core.errors import AppError, DatabaseBlocked, ExchangeError, ParametersInvalid
from app.domain.coverage import SlotCounts
from app.domain.health import (
    Freshness,
    HealthReport,
    ProcessReports,
    StaleReason,
    silent_after_seconds,
)
from app.domain.health_checks import collector_checks, describe_ticker
from app.services.health.status import ServiceStatus

MILLISECONDS = 1000
RECORDED: list[type[AppError]] = [*ExchangeError.__subclasses__(), DatabaseBlocked]
"""Errors that a tick records, and whose title says enough."""
TITLES = {error.code: error.title for error in RECORDED}

router = APIRouter(
    prefix="/status", tags=["health"], responses=problem_responses(ParametersInvalid)
)


@router.get("", summary="How tickers, exchanges, processes and servers are")
async def service_status(runtime: RuntimeDep) -> StatusOut:
    """What `/health/collector` knows, as data: 200 also where something fails.

    Every process reads it at most once a second, however many ask.
    """
    status = await runtime.status.read()
    report, processes = status.report, status.report.processes
    interval = report.interval_seconds
    is_ok = all(check.is_ok for check in collector_checks(report))
    return StatusOut(
        timestamp=status.timestamp,
        version=__version__,
        interval_seconds=interval,
        status="ok" if is_ok else "failing",
        tickers=[_ticker_status(ticker, status) for ticker in report.tickers],
        exchanges=_exchange_statuses(report),
        beats=_process_statuses(processes.beats if processes else None, interval),
        workers=_process_statuses(processes.workers if processes else None, interval),
        servers=_server_statuses(report),
        clocks=_clock_statuses(report),
    )


def _ticker_status(ticker: Freshness, status: ServiceStatus) -> TickerStatusOut:
    report = status.report
    reason = None if ticker.is_fresh else report.reason(ticker.key)
    last_day = None if status.last_day is None else status.last_day.get(ticker.key, SlotCounts())
    return TickerStatusOut(
        **ticker.key._asdict(),
        age_seconds=ticker.age_seconds,
        stale=not ticker.is_fresh,
        reason=reason and reason.code,
        reason_text=reason and _describe_reason(reason),
        detail=describe_ticker(ticker, report),
        last_slot=ticker.last_slot,
        next_slot=ticker.next_slot,
        repaired_last_day=None if last_day is None else last_day.backfilled,
        missing_last_day=None if last_day is None else last_day.missing,
    )


def _describe_reason(reason: StaleReason) -> str:
    title = TITLES.get(reason.code)
    return reason.text if title is None else title[0].lower() + title[1:]


def _exchange_statuses(report: HealthReport) -> list[ExchangeStatusOut]:
    answers = (report.processes or ProcessReports()).answer_milliseconds
    exchanges = dict.fromkeys(ticker.key.exchange for ticker in report.tickers)
    return [
        ExchangeStatusOut(exchange=exchange, answer_milliseconds=answers.get(exchange))
        for exchange in exchanges
    ]


def _process_statuses(
    silences: Mapping[str, float] | None, interval_seconds: int
) -> list[ProcessStatusOut] | None:
    if silences is None:
        return None
    max_seconds = silent_after_seconds(interval_seconds)
    return [
        ProcessStatusOut(
            name=name, seconds_since_heard=round(seconds, 1), silent=seconds > max_seconds
        )
        for name, seconds in sorted(silences.items())
    ]


def _server_statuses(report: HealthReport) -> list[ServerStatusOut]:
    return [
        _server_status("database", report.database_trouble, report.database_seconds),
        _server_status("broker", report.broker_trouble, report.broker_seconds),
    ]


def _server_status(
    name: Literal["database", "broker"], trouble: str, seconds: float | None
) -> ServerStatusOut:
    return ServerStatusOut(
        name=name,
        status="failing" if trouble else "ok",
        detail=trouble or "answers",
        answer_milliseconds=None if seconds is None else round(seconds * MILLISECONDS, 1),
    )


def _clock_statuses(report: HealthReport) -> list[ClocksOut]:
    return [
        ClocksOut(
            exchange=clocks.exchange,
            database_seconds=round(clocks.database_seconds, 3),
            server_seconds=round(clocks.server_seconds, 3),
        )
        for clocks in report.clocks
    ]
