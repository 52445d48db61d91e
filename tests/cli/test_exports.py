"""Out through one command and in through the other: the same rows."""

import gzip
import json
from pathlib import Path

import asyncpg
import pyarrow.parquet as pq
import pytest

from app.core.settings import Settings
from tests.cli.command_line import run_cli
from tests.repositories.rows import store

T0 = 1_768_579_200
PRICES = ["60123.5", "1.50", "0.00000001", "1000000000000"]
HEAD = "exchange,ticker,timestamp,price,source"
ROWS = "SELECT exchange, ticker, timestamp, {price} FROM prices ORDER BY 1, 2, 3"


@pytest.fixture
async def stored(sql: asyncpg.Connection) -> None:
    for number, price in enumerate(PRICES):
        await store(sql, [T0 + 60 * number], price=price)
    await store(sql, [T0], ticker="eth_usd")


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.parquet.gz"])
@pytest.mark.accept
async def test_what_was_exported_is_imported_the_same(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    # a decimal of Parquet has its value exactly, but no zeros of its own at the end
    rows = ROWS.format(price="trim_scale(price)::text" if "parquet" in name else "price::text")
    await sql.execute("DELETE FROM prices WHERE ticker <> 'btc_usd'")
    before = await sql.fetch(rows)
    exported = await run_cli(
        settings, "export", "--ticker", "BTC_usd", "--output", str(tmp_path / name)
    )
    assert (exported.returncode, exported.stdout, exported.stderr) == (0, "", "")
    assert _names(tmp_path) == [name]
    await sql.execute("TRUNCATE prices")
    imported = await run_cli(settings, "import", str(tmp_path / name))
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.splitlines() == [
        f"{tmp_path / name}: 4 rows, 4 added, 0 in slots that were taken, 0 bad",
        "deribit:btc_usd: recorded from 2026-01-16T16:00:00Z to 2026-01-16T16:03:00Z",
    ]
    assert await sql.fetch(rows) == before
    again = await run_cli(settings, "import", str(tmp_path / name))
    assert "0 added, 4 in slots that were taken" in again.stdout


@pytest.mark.usefixtures("stored")
async def test_export_goes_to_the_output(settings: Settings) -> None:
    shown = await run_cli(
        settings, "export", "--ticker", "btc_usd", "--from", f"{T0 + 1}", "--to", f"{T0 + 60}"
    )
    assert shown.stdout == f"{HEAD}\nderibit,btc_usd,{T0 + 60},1.50,live\n"
    lines = await run_cli(settings, "export", "--ticker", "btc_usd", "--format", "ndjson")
    found = [json.loads(line, parse_float=str) for line in lines.stdout.splitlines()]
    assert [str(row["price"]) for row in found] == PRICES


@pytest.mark.usefixtures("stored")
@pytest.mark.accept
async def test_format_follows_the_name_unless_it_is_said(
    settings: Settings, tmp_path: Path
) -> None:
    await run_cli(
        settings, "export", "--ticker", "eth_usd", "--output", str(tmp_path / "a.ndjson.gz")
    )
    assert gzip.decompress((tmp_path / "a.ndjson.gz").read_bytes()).startswith(b'{"exchange"')
    said = ("--format", "parquet", "--output", str(tmp_path / "a.dat"))
    await run_cli(settings, "export", "--ticker", "deribit:eth_usd", *said)
    assert pq.read_metadata(tmp_path / "a.dat").num_rows == 1


@pytest.mark.accept
async def test_what_can_not_be_exported_is_told_and_leaves_no_file(
    settings: Settings, tmp_path: Path
) -> None:
    unknown = await run_cli(
        settings, "export", "--ticker", "nope", "--output", str(tmp_path / "a.csv")
    )
    assert unknown.stderr.startswith("ticker_not_found: ")
    assert _names(tmp_path) == []
    parquet = await run_cli(settings, "export", "--ticker", "btc_usd", "--format", "parquet")
    assert "Parquet needs a file" in parquet.stderr
    nowhere = ("--output", str(tmp_path / "no" / "a.csv"))
    missing = await run_cli(settings, "export", "--ticker", "btc_usd", *nowhere)
    assert "No such file" in missing.stderr
    assert {unknown.returncode, parquet.returncode, missing.returncode} <= {1, 2}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
async def test_manifest_that_export_writes_is_checked_by_import(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    file, manifest = tmp_path / name, str(tmp_path / "manifest.json")
    options = ("--output", str(file), "--manifest", manifest)
    exported = await run_cli(settings, "export", "--ticker", "btc_usd", *options)
    assert (exported.returncode, exported.stdout, exported.stderr) == (0, "", "")
    await sql.execute("TRUNCATE prices")
    imported = await run_cli(settings, "import", str(file), "--manifest", manifest)
    assert imported.returncode == 0, imported.stderr
    assert await sql.fetchval("SELECT count(*) FROM prices") == len(PRICES)
    file.write_bytes(file.read_bytes()[:-4])
    refused = await run_cli(settings, "import", str(file), "--manifest", manifest)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"import_refused: {file}: it is cut off: ")
    both = await run_cli(settings, "import", str(file), str(file), "--manifest", manifest)
    assert both.returncode == 2
