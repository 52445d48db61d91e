"""The checks of the collector, in words and in order."""

from dataclasses import replace

from app.domain.health import Clocks, Freshness, HealthReport, ProcessReports
from app.domain.health_checks import Check, collector_checks, describe_ticker
from app.domain.prices import TickerKey

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
FRESH = Freshness(BTC, 30, is_fresh=True)
STALE = Freshness(ETH, 190, is_fresh=False)
NOT_SILENT = ProcessReports(beats={"a": 3.4, "b": 1.2}, workers={"c": 1.0, "d": 2.0})
REPORT = HealthReport(60, [FRESH], [Clocks("deribit", 0.5, -0.5)], NOT_SILENT)
CLOCKS = "the database's clock is 0.5 s ahead of deribit's, this server's 0.5 s behind it"


def _checks(report: HealthReport) -> list[Check]:
    return list(collector_checks(report))


def test_everything_that_works_is_described() -> None:
    assert _checks(REPORT) == [
        Check("deribit:btc_usd", "the newest slot is 30 s old", is_ok=True),
        Check("beat", "reported 1 s ago", is_ok=True),
        Check("worker", "2 at work", is_ok=True),
        Check("clock", CLOCKS, is_ok=True),
    ]


def test_nothing_has_reported_yet_while_every_ticker_is_fresh() -> None:
    report = replace(REPORT, clocks=(), processes=ProcessReports())
    assert _checks(report)[1:] == [
        Check("beat", "none has reported", is_ok=True),
        Check("worker", "none has reported", is_ok=True),
        Check("clock", "no live price to compare with", is_ok=True),
    ]


def test_stale_ticker_and_silent_processes_fail() -> None:
    processes = ProcessReports(beats={"a": 95.2}, workers={"c": 31.0, "d": 1.0})
    report = replace(REPORT, tickers=[FRESH, STALE], processes=processes)
    assert _checks(report)[1:4] == [
        Check(
            "deribit:eth_usd",
            "the newest slot is 190 s old: beat has been silent for 95 s",
            is_ok=False,
        ),
        Check("beat", "beat has been silent for 95 s", is_ok=False),
        Check("worker", "1 at work; c has been silent for 31 s", is_ok=True),
    ]
    no_worker = replace(processes, workers={"c": 31.0})
    assert _checks(replace(report, processes=no_worker))[3] == Check(
        "worker", "no worker has reported for 31 s", is_ok=False
    )


def test_servers_are_shown_only_while_they_are_away() -> None:
    report = replace(REPORT, processes=None, database_trouble="gone", broker_trouble="lost")
    assert _checks(report)[1:] == [
        Check("database", "gone", is_ok=False),
        Check("broker", "lost", is_ok=False),
    ]


def test_clock_fails_five_minutes_before_prices_are_refused() -> None:
    for seconds, is_ok in ((3300.0, True), (3300.1, False), (-3300.1, False)):
        clocks = [Clocks("deribit", 0.5, -0.5), Clocks("other", seconds, 0.0)]
        check = _checks(replace(REPORT, clocks=clocks))[-1]
        assert check.is_ok is is_ok
        assert check.detail.startswith(f"{CLOCKS}; the database's clock is 3300.")
        assert check.detail.endswith("; beyond an hour prices are refused") is not is_ok


def test_age_that_is_not_known_is_described() -> None:
    never = Freshness(BTC, None, is_fresh=False)
    assert describe_ticker(never, replace(REPORT, tickers=[never])) == (
        "no live price is stored yet: nothing reported a failure: "
        "the logs of beat and worker tell more"
    )
    away = replace(REPORT, tickers=[never], database_trouble="gone")
    assert describe_ticker(never, away) == (
        "the age of the newest slot is unknown: the database can't be read (gone)"
    )
