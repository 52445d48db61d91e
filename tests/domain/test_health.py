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
LIVELY = ProcessReports(beats={"a": 1.0}, workers={"b": 1.0})
MAINTENANCE = Failure("exchange_maintenance", "11051 system_maintenance", 120, 5)
FULL = Failure("database_full", "no space", 60, 5)


def findings(**changes: object) -> HealthReport:
    return replace(HealthReport(60, [STALE], processes=LIVELY), **changes)  # type: ignore[arg-type]  # names of fields


def with_signs(**changes: object) -> HealthReport:
    return findings(processes=replace(LIVELY, **changes))  # type: ignore[arg-type]  # same


@pytest.mark.parametrize(
    ("interval", "seconds"), [(1, 5), (2, 5), (10, 5), (40, 20), (60, 30), (86_400, 30)]
)
def test_silence_is_half_an_interval_within_bounds(interval: int, seconds: float) -> None:
    assert silent_after_seconds(interval) == seconds


CASES = [
    (findings(), NO_REASON.text),
    (with_signs(beats={"a": 95.4, "b": 400}), "beat has been silent for 95 s"),
    (with_signs(beats={"a": 95, "b": 30}), NO_REASON.text),
    (with_signs(beats={}), "no beat has reported"),
    (with_signs(workers={"b": 40}), "no worker has reported for 40 s"),
    (with_signs(workers={}), "no worker has reported"),
    (
        with_signs(failures={str(BTC): MAINTENANCE}),
        "exchange_maintenance (11051 system_maintenance) since 120 s",
    ),
    (with_signs(failures={"deribit:eth_usd": MAINTENANCE}), NO_REASON.text),
    (
        with_signs(failures={str(BTC): MAINTENANCE._replace(last_seconds=120)}),
        "exchange_maintenance (11051 system_maintenance) since 120 s",
    ),
    (
        with_signs(failures={str(BTC): MAINTENANCE._replace(last_seconds=121)}),
        NO_REASON.text,
    ),
    (with_signs(failures={"deribit:eth_usd": FULL}), "the database refuses writes: disk full"),
    (findings(processes=None, broker_trouble="Redis"), "the broker is away"),
    (
        findings(processes=None, broker_trouble="Redis refuses writes (MISCONF)"),
        "Redis refuses writes (MISCONF)",
    ),
    (findings(database_trouble=f"{DOES_NOT_ANSWER} (x)"), "the database is away"),
    (
        findings(database_trouble="every connection to PostgreSQL is in use"),
        "the database can't be read (every connection to PostgreSQL is in use)",
    ),
    (
        findings(database_trouble=NO_ANSWER_IN_TIME),
        "the database gave no answer in time",
    ),
    (
        findings(database_trouble=f"{STATEMENT_ENDED} (canceling statement)"),
        "the database ends what it is asked",
    ),
]


@pytest.mark.parametrize(("found", "reason"), CASES)
def test_reason_is_said_in_words(found: HealthReport, reason: str) -> None:
    assert found.reason(BTC).text == reason


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (findings(), "nothing_reported"),
        (findings(database_trouble=NO_ANSWER_IN_TIME), "database_unavailable"),
        (findings(database_trouble="every connection is in use"), "database_unavailable"),
        (with_signs(failures={str(BTC): FULL}), "database_full"),
        (findings(processes=None, broker_trouble="Redis refuses writes"), "broker_unavailable"),
        (with_signs(beats={"a": 95}), "beat_silent"),
        (with_signs(workers={}), "worker_silent"),
        (with_signs(failures={str(BTC): MAINTENANCE}), "exchange_maintenance"),
    ],
)
def test_reason_has_a_code_for_programs(found: HealthReport, code: str) -> None:
    assert found.reason(BTC).code == code


def test_what_all_the_rest_depends_on_comes_first() -> None:
    """Each trouble is taken away in turn, and the next one shows."""
    failures = {str(BTC): MAINTENANCE, "deribit:eth_usd": FULL}
    found = findings(
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
        starts.append(found.reason(BTC).text)
        found = replace(found, **fixed)
    assert [*starts, found.reason(BTC).text.partition(" (")[0]] == [
        "the database is away",
        "the database refuses writes: disk full",
        "the broker is away",
        "beat has been silent for 95 s",
        "no worker has reported for 95 s",
        "exchange_maintenance",
    ]


def test_nobody_need_report_while_every_ticker_is_fresh() -> None:
    """Someone may collect from cron."""
    found = findings(tickers=[FRESH], processes=ProcessReports())
    assert (found.beat_trouble(), found.worker_trouble()) == ("", "")


def test_workers_that_are_silent_are_named_with_their_silence() -> None:
    found = with_signs(workers={"a": 1, "b": 30, "c": 30.5, "d": 400})
    assert found.silent_workers() == {"c": 30.5, "d": 400}
    assert replace(found, interval_seconds=40).silent_workers() == {"b": 30, "c": 30.5, "d": 400}
    assert findings(processes=None).silent_workers() == {}


def test_nothing_is_said_of_processes_while_redis_is_away() -> None:
    found = findings(processes=None)
    assert (found.beat_trouble(), found.worker_trouble()) == ("", "")


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
