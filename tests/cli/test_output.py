"""What commands print: tables and colours on a terminal, plain lines elsewhere, JSON if asked."""

import gzip
import json
import re
from pathlib import Path

import asyncpg
import pytest

from app.core.settings import Settings
from tests.cli.command_line import run_cli, run_on_terminal
from tests.repositories.rows import add_recording, store

T0 = 1_768_579_200
COLOUR = re.compile(r"\x1b\[[0-9;]*\b3[0-7]m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
GAP = ["deribit:btc_usd", "2026-01-16T16:02:00Z", "2026-01-16T16:02:00Z", "1", "beyond_lookback"]


@pytest.fixture
async def stored_with_gap(sql: asyncpg.Connection) -> None:
    await add_recording(sql, T0, T0 + 180)
    await store(sql, [T0, T0 + 60, T0 + 180])


@pytest.mark.usefixtures("stored_with_gap")
async def test_gaps_are_a_table_on_a_terminal_and_lines_elsewhere(settings: Settings) -> None:
    returncode, shown, errors = await run_on_terminal(settings, "gaps")
    assert (returncode, errors) == (0, "")
    header, rule, row = (line for line in ESCAPE.sub("", shown).splitlines() if line.strip())
    assert header.split() == ["ticker", "first", "slot", "last", "slot", "missing", "reason"]
    assert set(rule.strip()) == {"─"}
    assert row.split() == GAP
    assert (await run_cli(settings, "gaps")).stdout == "  ".join(GAP) + "\n"


@pytest.mark.usefixtures("stored_with_gap")
async def test_report_is_a_table_on_a_terminal(settings: Settings) -> None:
    _, shown, _ = await run_on_terminal(settings, "report")
    text = ESCAPE.sub("", shown)
    assert "deribit:btc_usd  2026-01-16T16:00:00Z to 2026-01-16T16:03:00Z, every 60 s" in text
    assert re.search(
        r"^ +missing +1 slots \(1 beyond_lookback\); at most 1 in a row", text, re.MULTILINE
    )


async def test_colours_are_left_out_on_request_and_elsewhere(settings: Settings) -> None:
    _, coloured, _ = await run_on_terminal(settings, "doctor")
    _, plain, _ = await run_on_terminal(settings, "doctor", NO_COLOR="1")
    assert COLOUR.search(coloured)
    assert not COLOUR.search(plain)
    assert "\x1b" not in (await run_cli(settings, "doctor")).stdout


@pytest.mark.parametrize(("no_color", "is_coloured"), [("1", False), ("", True)])
async def test_log_on_a_terminal_has_no_colours_on_request(
    settings: Settings, no_color: str, *, is_coloured: bool
) -> None:
    env = {"LOG_LEVEL": "debug", "LOG_FORMAT": "console", "NO_COLOR": no_color}
    _, shown, errors = await run_on_terminal(settings, "collect", **env)
    assert "prices_collected" in errors
    assert bool(COLOUR.search(errors)) == is_coloured
    assert "deribit" not in shown
    assert re.search(r"btc_usd +(\x1b\[32m)?stored", shown)


async def test_log_in_a_file_has_no_colours_beside_an_output_on_a_terminal(
    settings: Settings,
) -> None:
    ended = await run_cli(settings, "collect", LOG_LEVEL="debug", LOG_FORMAT="console")
    assert "prices_collected" in ended.stderr
    assert "\x1b" not in ended.stderr


@pytest.mark.usefixtures("stored_with_gap")
async def test_export_shows_its_progress_on_a_terminal_alone(
    settings: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "a.csv.gz"
    words = ("export", "--ticker", "btc_usd", "--output", str(target))
    returncode, shown, errors = await run_on_terminal(settings, *words)
    assert (returncode, shown) == (0, "")
    assert "a.csv.gz" in errors
    assert "100%" in errors
    assert gzip.decompress(target.read_bytes()).count(b"\n") == 4
    _, shown, errors = await run_on_terminal(settings, "export", "--ticker", "btc_usd")
    assert (shown.count("\n"), errors) == (4, "")


@pytest.mark.usefixtures("stored_with_gap")
async def test_export_describes_its_file_as_json(settings: Settings, tmp_path: Path) -> None:
    target, manifest = tmp_path / "a.csv", tmp_path / "a.json"
    words = ("export", "--ticker", "btc_usd", "--output", str(target))
    ended = await run_cli(settings, *words, "--manifest", str(manifest), "--json")
    described = {"file": str(target), **json.loads(manifest.read_text())}
    assert json.loads(ended.stdout) == described
    assert described["rows"] == 3
    refused = await run_cli(settings, "export", "--ticker", "btc_usd", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")


async def test_import_tells_of_each_file_as_json_up_to_one_that_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(f"timestamp,price\n{T0},1\n{T0 + 60},2\nx,3\n")
    bad.write_text("time,no\n")
    words = ("import", str(good), str(bad), "--ticker", "btc_usd", "--on-error", "skip", "--json")
    ended = await run_cli(settings, *words)
    assert ended.returncode == 1
    (result,) = json.loads(ended.stdout)
    (bad_row,) = result.pop("bad_rows")
    assert bad_row["line"] == 4
    assert result == {
        "file": str(good),
        "rows": 3,
        "added": 2,
        "already_stored": 0,
        "bad": 1,
        "recordings": [{"exchange": "deribit", "ticker": "btc_usd", "from": T0, "to": T0 + 60}],
    }


@pytest.mark.usefixtures("stored_with_gap")
async def test_verify_tells_as_json_how_many_hours_are_wrong(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE price_hours SET samples = 2")
    found = [
        await run_cli(settings, "verify", "--json", *options) for options in ((), ("--rebuild",))
    ]
    found.append(await run_cli(settings, "verify", "--json"))
    assert [(one.returncode, json.loads(one.stdout)) for one in found] == [
        (1, {"wrong_hours": 1, "rebuilt": False}),
        (0, {"wrong_hours": 1, "rebuilt": True}),
        (0, {"wrong_hours": 0, "rebuilt": False}),
    ]


async def test_healthcheck_tells_its_line_as_json(settings: Settings) -> None:
    ended = await run_cli(settings, "healthcheck", "worker", "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout) == {
        "service": "worker",
        "status": "failing",
        "detail": "HEARTBEAT_FILE is not set, so it gives no heartbeat",
    }
