"""The checks of the collector: each ticker, its servers, beat, the workers and the clocks."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.domain.health import WORST_CLOCK_SECONDS, Freshness, HealthReport, ProcessReports


class Check(NamedTuple):
    """The result of a check of one thing, in words."""

    name: str
    detail: str
    is_ok: bool


def collector_checks(report: HealthReport) -> Iterator[Check]:
    """Return every check of a report; what can't be checked has none."""
    for ticker in report.tickers:
        yield Check(str(ticker.key), describe_ticker(ticker, report), ticker.is_fresh)
    for name, trouble in (
        ("database", report.database_trouble),
        ("broker", report.broker_trouble),
    ):
        if trouble:
            yield Check(name, trouble, is_ok=False)
    if report.processes is not None:
        trouble = report.beat_trouble()
        yield Check("beat", trouble or _describe_celery_beat(report.processes), not trouble)
        trouble = report.worker_trouble()
        detail = _describe_workers(report.processes, report.silent_workers())
        yield Check("worker", trouble or detail, not trouble)
    if not report.database_trouble:
        yield _check_clocks(report)


def describe_ticker(ticker: Freshness, report: HealthReport) -> str:
    """Describe how old a ticker's newest live price is, and why if it is stale."""
    if ticker.age_seconds is not None:
        age = f"the newest slot is {ticker.age_seconds} s old"
    elif report.database_trouble:
        age = "the age of the newest slot is unknown"
    else:
        age = "no live price is stored yet"
    return age if ticker.is_fresh else f"{age}: {report.reason(ticker.key).text}"


def _describe_celery_beat(processes: ProcessReports) -> str:
    beats = processes.beats.values()
    return f"reported {min(beats):.0f} s ago" if beats else "none has reported"


def _describe_workers(processes: ProcessReports, silent: Mapping[str, float]) -> str:
    at_work = len(processes.workers) - len(silent)
    summary = f"{at_work} at work" if processes.workers else "none has reported"
    detail = (f"{name} has been silent for {seconds:.0f} s" for name, seconds in silent.items())
    return "; ".join([summary, *detail])


def _check_clocks(report: HealthReport) -> Check:
    detail = "; ".join(map(str, report.clocks)) or "no live price to compare with"
    worst = max((abs(clocks.database_seconds) for clocks in report.clocks), default=0)
    if worst > WORST_CLOCK_SECONDS:
        return Check("clock", f"{detail}; beyond an hour prices are refused", is_ok=False)
    return Check("clock", detail, is_ok=True)
