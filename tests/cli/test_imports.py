"""The command that stores what files hold."""

from pathlib import Path

import asyncpg
import pytest

from app.core.settings import Settings
from tests.cli.command_line import run_cli

T0 = 1_768_579_200


def _file(path: Path, *prices: str, step: int = 60) -> str:
    rows = [f"{T0 + step * number},{price}\n" for number, price in enumerate(prices)]
    path.write_text("timestamp_unix_s,price\n" + "".join(rows))
    return str(path)


async def test_bad_row_ends_it_with_one_line_and_files_before_it_stay(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    good = _file(tmp_path / "good.csv", "1", "2")
    bad = _file(tmp_path / "bad.csv", "1", "2", "3", "4", "five")
    ended = await run_cli(settings, "import", good, bad, "--ticker", "btc_usd")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (f"import_refused: {bad}:6: price 'five' is no number")
    assert await sql.fetchval("SELECT count(*) FROM prices") == 2


@pytest.mark.accept
async def test_bad_rows_are_listed_when_skipped(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = _file(tmp_path / "a.csv", "1", *["bad"] * 25)
    ended = await run_cli(
        settings, "import", path, "--ticker", "Other:BTC_usd", "--on-error", "skip"
    )
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0] == f"{path}: 26 rows, 1 added, 0 in slots that were taken, 25 bad"
    assert lines[1] == f"{path}:3: price 'bad' is no number"
    assert lines[21] == f"{path}: and 5 more"
    assert await sql.fetchval("SELECT exchange || ticker FROM prices") == "otherbtc_usd"


@pytest.mark.accept
async def test_interval_is_the_configured_one_unless_it_is_said(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = _file(tmp_path / "a.csv", "1", "2", "3", step=30)
    await run_cli(settings, "import", path, "--ticker", "btc_usd")
    options = ("--exchange", "other", "--interval", "30")
    await run_cli(settings, "import", path, "--ticker", "btc_usd", *options)
    counts = await sql.fetch("SELECT count(*) FROM prices GROUP BY exchange ORDER BY exchange")
    assert [row[0] for row in counts] == [2, 3]
    odd = await run_cli(settings, "import", path, "--ticker", "btc_usd", "--interval", "7")
    assert "does not divide a day" in odd.stderr


async def test_missing_file_or_ticker_is_told(settings: Settings, tmp_path: Path) -> None:
    absent = await run_cli(settings, "import", str(tmp_path / "a.csv"))
    assert absent.returncode == 2
    nameless = await run_cli(settings, "import", _file(tmp_path / "b.csv", "1"))
    assert "import_refused: " in nameless.stderr
    assert "--ticker" in nameless.stderr
