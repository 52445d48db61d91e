"""Why a ticker is stale, in words and in order."""

from dataclasses import replace

import pytest

from app.domain.health import (
    DOES_NOT_ANSWER,
    NO_ANSWER_IN_TIME,
    NO_REASON,
    STATEMENT_ENDED,
    Clocks,
    Failure,
    Freshness,
    HealthReport,
    ProcessReports,
    failure_lasts_seconds,
    silent_after_seconds,
)
from app.domain.prices import TickerKey

BTC = TickerKey("deribit", "btc_usd")
STALE = Freshness(BTC, 190, is_fresh=False)
FRESH = Freshness(BTC, 30, is_fresh=True)
NOT_SILENT = ProcessReports(beats={"a": 1.0}, workers={"b": 1.0})
MAINTENANCE = Failure("exchange_maintenance", "11051 system_maintenance", 120, 5)
FULL = Failure("database_full", "no space", 60, 5)


def report_with(**changes: object) -> HealthReport:
    return replace(HealthReport(60, [STALE], processes=NOT_SILENT), **changes)  # type: ignore[arg-type]  # names of fields


def report_with_processes(**changes: object) -> HealthReport:
    return report_with(processes=replace(NOT_SILENT, **changes))  # type: ignore[arg-type]  # same


@pytest.mark.parametrize(
    ("interval", "seconds"), [(1, 5), (2, 5), (10, 5), (40, 20), (60, 30), (86_400, 30)]
)
def test_silence_is_half_an_interval_within_bounds(interval: int, seconds: float) -> None:
    assert silent_after_seconds(interval) == seconds


CASES = [
    (report_with(), NO_REASON.text),
    (report_with_processes(beats={"a": 95.4, "b": 400}), "beat has been silent for 95 s"),
    (report_with_processes(beats={"a": 95, "b": 30}), NO_REASON.text),
    (report_with_processes(beats={}), "no beat has reported"),
    (report_with_processes(workers={"b": 40}), "no worker has reported for 40 s"),
    (report_with_processes(workers={}), "no worker has reported"),
    (
        report_with_processes(failures={str(BTC): MAINTENANCE}),
        "exchange_maintenance (11051 system_maintenance) since 120 s",
    ),
    (report_with_processes(failures={"deribit:eth_usd": MAINTENANCE}), NO_REASON.text),
    (
        report_with_processes(failures={str(BTC): MAINTENANCE._replace(last_seconds=120)}),
        "exchange_maintenance (11051 system_maintenance) since 120 s",
    ),
    (
        report_with_processes(failures={str(BTC): MAINTENANCE._replace(last_seconds=121)}),
        NO_REASON.text,
    ),
    (
        report_with_processes(failures={"deribit:eth_usd": FULL}),
        "the database refuses writes: disk full",
    ),
    (report_with(processes=None, broker_trouble="Redis"), "the broker is away"),
    (
        report_with(processes=None, broker_trouble="Redis refuses writes (MISCONF)"),
        "Redis refuses writes (MISCONF)",
    ),
    (report_with(database_trouble=f"{DOES_NOT_ANSWER} (x)"), "the database is away"),
    (
        report_with(database_trouble="every connection to PostgreSQL is in use"),
        "the database can't be read (every connection to PostgreSQL is in use)",
    ),
    (
        report_with(database_trouble=NO_ANSWER_IN_TIME),
        "the database gave no answer in time",
    ),
    (
        report_with(database_trouble=f"{STATEMENT_ENDED} (canceling statement)"),
        "the database ends what it is asked",
    ),
]


@pytest.mark.parametrize(("report", "reason"), CASES)
def test_reason_is_said_in_words(report: HealthReport, reason: str) -> None:
    assert report.reason(BTC).text == reason


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (report_with(), "nothing_reported"),
        (report_with(database_trouble=NO_ANSWER_IN_TIME), "database_unavailable"),
        (report_with(database_trouble="every connection is in use"), "database_unavailable"),
        (report_with_processes(failures={str(BTC): FULL}), "database_full"),
        (report_with(processes=None, broker_trouble="Redis refuses writes"), "broker_unavailable"),
        (report_with_processes(beats={"a": 95}), "beat_silent"),
        (report_with_processes(workers={}), "worker_silent"),
        (report_with_processes(failures={str(BTC): MAINTENANCE}), "exchange_maintenance"),
    ],
)
def test_reason_has_a_code_for_programs(report: HealthReport, code: str) -> None:
    assert report.reason(BTC).code == code


def test_what_all_the_rest_depends_on_comes_first() -> None:
    """Each trouble is taken away in turn, and the next one shows."""
    failures = {str(BTC): MAINTENANCE, "deribit:eth_usd": FULL}
    report = report_with(
        database_trouble=f"{DOES_NOT_ANSWER} (ConnectionRefusedError)",
        broker_trouble="away",
        processes=ProcessReports(beats={"a": 95}, workers={"b": 95}, failures=failures),
    )
    starts = []
    for fixed in (
        {"database_trouble": ""},
        {"processes": ProcessReports({"a": 95}, {"b": 95}, {str(BTC): MAINTENANCE})},
        {"broker_trouble": ""},
        {"processes": ProcessReports({"a": 1}, {"b": 95}, {str(BTC): MAINTENANCE})},
        {"processes": ProcessReports({"a": 1}, {"b": 1}, {str(BTC): MAINTENANCE})},
    ):
        starts.append(report.reason(BTC).text)
        report = replace(report, **fixed)
    assert [*starts, report.reason(BTC).text.partition(" (")[0]] == [
        "the database is away",
        "the database refuses writes: disk full",
        "the broker is away",
        "beat has been silent for 95 s",
        "no worker has reported for 95 s",
        "exchange_maintenance",
    ]


def test_nobody_need_report_while_every_ticker_is_fresh() -> None:
    """Someone may collect from cron."""
    report = report_with(tickers=[FRESH], processes=ProcessReports())
    assert (report.beat_trouble(), report.worker_trouble()) == ("", "")


def test_workers_that_are_silent_are_named_with_their_silence() -> None:
    report = report_with_processes(workers={"a": 1, "b": 30, "c": 30.5, "d": 400})
    assert report.silent_workers() == {"c": 30.5, "d": 400}
    assert replace(report, interval_seconds=40).silent_workers() == {"b": 30, "c": 30.5, "d": 400}
    assert report_with(processes=None).silent_workers() == {}


def test_nothing_is_said_of_processes_while_redis_is_away() -> None:
    report = report_with(processes=None)
    assert (report.beat_trouble(), report.worker_trouble()) == ("", "")


def test_failure_noted_before_a_price_was_stored_is_over_when_that_price_is_stale() -> None:
    assert failure_lasts_seconds(60) == 120
    assert failure_lasts_seconds(2) == 10


def test_clocks_are_told_in_words() -> None:
    assert str(Clocks("deribit", 0.1, -90.0)) == (
        "the database's clock is 0.1 s ahead of deribit's, this server's 90.0 s behind it"
    )
    assert str(Clocks("deribit", 0.0, 0.0)) == (
        "the database's clock is 0.0 s ahead of deribit's, this server's 0.0 s ahead of it"
    )
