"""What `doctor` finds, in order, and what to do about it."""

import pytest

from app.domain.findings import Finding, State, collector_findings, complete, is_healthy, remedy_of
from app.domain.health import Clocks, Failure, Freshness, HealthReport, ProcessReports
from app.domain.prices import TickerKey

BTC = TickerKey("deribit", "btc_usd")
FRESH = Freshness(BTC, 30, is_fresh=True)
STALE = Freshness(BTC, 190, is_fresh=False)
BEATING = ProcessReports(beats={"a": 1.0}, workers={"b": 1.0})
CLOCKS = [Clocks("deribit", 0.5, -0.5)]
AWAY = Failure("exchange_timeout", "no answer", 60, 5)
FULL = Failure("database_full", "no space", 60, 5)
WAIT = "wait: the worker keeps trying, and the repair fills what it misses"
MISSING = {
    "settings": "disk database schema broker exchange clock beat worker tickers",
    "broker": "database schema exchange clock beat worker",
    "database": "schema broker exchange clock beat worker tickers",
    "exchange": "",
    "schema": "",
}


def _found(report: HealthReport) -> dict[str, Finding]:
    return {finding.name: finding for finding in collector_findings(report)}


def test_report_without_trouble_is_healthy() -> None:
    findings = list(collector_findings(HealthReport(60, [FRESH], CLOCKS, BEATING)))
    assert [finding.name for finding in findings] == ["deribit:btc_usd", "beat", "worker", "clock"]
    assert {finding.remedy for finding in findings} == {""}
    assert is_healthy(findings)


def test_silent_process_is_to_be_started_and_its_tickers_say_so() -> None:
    report = HealthReport(60, [STALE], CLOCKS, ProcessReports(beats={"a": 95.0}))
    found = _found(report)
    assert found["beat"] == Finding(
        "beat",
        State.FAILING,
        "beat has been silent for 95 s",
        "start one: `python -m app beat`",
    )
    assert found["worker"].remedy == "start one: `python -m app worker`"
    assert found["deribit:btc_usd"].remedy == found["beat"].remedy


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (AWAY, "check this machine's network, DERIBIT_BASE_URL and PROXY_URL"),
        (FULL, "free space on the database's disk"),
        (AWAY._replace(code="exchange_maintenance"), WAIT),
        (AWAY._replace(code="something_else"), ""),
        (None, "read the logs of beat and worker"),
    ],
)
def test_stale_ticker_has_the_remedy_of_its_reason(failure: Failure | None, remedy: str) -> None:
    failures = {} if failure is None else {str(BTC): failure}
    processes = ProcessReports(beats={"a": 1.0}, workers={"b": 1.0}, failures=failures)
    assert _found(HealthReport(60, [STALE], CLOCKS, processes))["deribit:btc_usd"].remedy == remedy


def test_nothing_is_said_of_tickers_without_the_database() -> None:
    found = _found(HealthReport(60, [STALE], processes=BEATING, database_trouble="away"))
    assert found["database"] == Finding("database", State.FAILING, "away")
    assert "deribit:btc_usd" not in found


def test_clock_an_hour_off_is_to_be_corrected() -> None:
    found = _found(HealthReport(60, [FRESH], [Clocks("deribit", 3_400.0, 0.0)], BEATING))
    assert found["clock"].state is State.FAILING
    assert found["clock"].remedy == remedy_of("clock") != ""


@pytest.mark.parametrize(("failing", "missing"), MISSING.items())
def test_what_could_not_be_checked_is_skipped(failing: str, missing: str) -> None:
    findings = complete([Finding.failing(failing, "wrong")])
    skipped = [finding for finding in findings if finding.state is State.SKIPPED]
    assert [finding.name for finding in skipped] == missing.split()
    assert {finding.detail for finding in skipped} <= {f"not checked, because {failing} fails"}
    assert not is_healthy(findings)
    assert not is_healthy(skipped or findings)


def test_what_was_checked_is_not_skipped_and_the_last_finding_counts() -> None:
    beat = Finding.ok("beat", "reported 1 s ago")
    findings = complete([Finding.ok("database", "answers"), beat, Finding.failing("database", "a")])
    assert beat in findings
    assert findings[0] == Finding("database", State.FAILING, "a")


def test_nearest_cause_is_named_where_both_servers_fail() -> None:
    findings = complete([Finding.failing("broker", "a"), Finding.failing("database", "b")])
    causes = {one.name: one.detail.split()[-2] for one in findings if one.state is State.SKIPPED}
    of_database = dict.fromkeys(("schema", "clock", "tickers"), "database")
    assert causes == of_database | dict.fromkeys(("exchange", "beat", "worker"), "broker")


def test_nothing_is_skipped_while_everything_works() -> None:
    findings = [Finding.ok("beat", "b"), Finding.ok("settings", "valid"), Finding.ok("x:y", "t")]
    assert [finding.name for finding in complete(findings)] == ["settings", "beat", "x:y"]


def test_finding_is_one_line() -> None:
    assert Finding.failing("disk", "much\n  too  full", "free some").text == (
        "much too full; free some"
    )
    assert Finding.ok("disk", "enough").text == "enough"
