"""What the commands tell of the record."""

import json

import asyncpg
import pytest

from app.core.settings import Settings
from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings
from tests.cli.command_line import run_cli
from tests.repositories.rows import store

START = 1_768_579_200


@pytest.fixture
async def stored_minutes(database: Database, sql: asyncpg.Connection) -> None:
    """Ten minutes of btc_usd without the third and the last; two whole ones of eth_usd."""
    async with database.transaction() as session:
        for ticker, minutes in (("btc_usd", 10), ("eth_usd", 2)):
            last = Slot(START + 60 * minutes - 60)
            key = TickerKey("deribit", ticker)
            await recordings.upsert(session, [Recording(key, 60, Slot(START), last)])
            slots = [START + 60 * minute for minute in range(minutes) if minute not in {2, 9}]
            await store(sql, slots, ticker=ticker)


@pytest.mark.usefixtures("stored_minutes")
async def test_gaps_are_listed_a_line_each(settings: Settings) -> None:
    listed = await run_cli(settings, "gaps")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines() == [
        "deribit:btc_usd  2026-01-16T16:02:00Z  2026-01-16T16:02:00Z  1  beyond_lookback",
        "deribit:btc_usd  2026-01-16T16:09:00Z  2026-01-16T16:09:00Z  1  beyond_lookback",
    ]


@pytest.mark.usefixtures("stored_minutes")
@pytest.mark.accept
async def test_gaps_of_a_period_come_as_json(settings: Settings) -> None:
    listed = await run_cli(
        settings, "gaps", "--json", "--ticker", "BTC_usd", "--from", "2026-01-16T16:05"
    )
    assert json.loads(listed.stdout) == [
        {
            "exchange": "deribit",
            "ticker": "btc_usd",
            "from": START + 540,
            "to": START + 540,
            "missing": 1,
            "reason": "beyond_lookback",
        }
    ]


@pytest.mark.usefixtures("stored_minutes")
@pytest.mark.accept
async def test_nothing_missing_is_said(settings: Settings) -> None:
    listed = await run_cli(settings, "gaps", "--ticker", "deribit:eth_usd")
    assert (listed.stdout, listed.stderr) == ("", "nothing is missing\n")


@pytest.mark.usefixtures("stored_minutes")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gaps", "--ticker", "nope_usd"), "ticker_not_found: no ticker deribit:nope_usd"),
        (("report", "--from", "2", "--to", "1"), "--from must not be after --to"),
        (("report", "--to", "yesterday"), "UNIX seconds, UNIX milliseconds, or ISO 8601"),
    ],
)
async def test_nonsense_is_a_clear_error(
    settings: Settings, arguments: tuple[str, ...], words: str
) -> None:
    refused = await run_cli(settings, *arguments)
    assert refused.returncode != 0
    assert words in " ".join(refused.stderr.replace("│", "").split())
    assert "Traceback" not in refused.stderr


@pytest.mark.usefixtures("stored_minutes")
async def test_report_tells_of_every_ticker(settings: Settings) -> None:
    output = await run_cli(settings, "report")
    assert output.stdout.splitlines() == [
        "deribit:btc_usd  2026-01-16T16:00:00Z to 2026-01-16T16:09:00Z, every 60 s",
        "  expected  10 slots; stored 8 (8 live, 0 backfilled, 0 imported)",
        "  missing   2 slots (2 beyond_lookback); at most 1 in a row",
        "  lateness  0.00 s after the slot's start (median), 0.00 s (p99), 0.00 s (worst)",
        "  outliers  0 moves beyond 0.50% from one slot to the next",
        "",
        "deribit:eth_usd  2026-01-16T16:00:00Z to 2026-01-16T16:01:00Z, every 60 s",
        "  expected  2 slots; stored 2 (2 live, 0 backfilled, 0 imported)",
        "  missing   nothing",
        "  lateness  0.00 s after the slot's start (median), 0.00 s (p99), 0.00 s (worst)",
        "  outliers  0 moves beyond 0.50% from one slot to the next",
    ]


@pytest.mark.usefixtures("stored_minutes")
@pytest.mark.accept
async def test_report_comes_as_json(settings: Settings, sql: asyncpg.Connection) -> None:
    await store(sql, [START + 120], price="90123.45678", source="backfill")
    output = await run_cli(settings, "report", "--json", "--ticker", "btc_usd")
    (data,) = json.loads(output.stdout)
    assert (data["stored"], data["backfilled"]) == (9, 1)
    assert (data["missing"], data["missing_by_reason"]) == (1, {"beyond_lookback": 1})
    assert data["lateness_seconds"] == {"p50": 0, "p99": 0, "worst": 0}
    assert data["outlier_count"] == 2
    assert [outlier["price"] for outlier in data["outliers"]] == ["90123.45678", "60123.5"]


@pytest.mark.accept
async def test_nothing_recorded_is_said(settings: Settings) -> None:
    assert (await run_cli(settings, "report")).stdout == "nothing is recorded\n"
    assert (await run_cli(settings, "gaps")).stderr == "nothing is missing\n"
