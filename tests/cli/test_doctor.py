"""`doctor`: one line for each thing that is wrong, whatever it is, and never a traceback."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.cli.doctor_checks import check_disk
from app.core.settings import Settings
from app.domain.findings import Finding, State
from app.simulator import Exchange
from app.supervisor.ports import free_port
from tests.cli.command_line import run_cli
from tests.preloaded_python import PROJECT, run_python
from tests.repositories.rows import store
from tests.tls import ESCAPED, TlsPostgres, tls_postgres

Found = dict[str, tuple[str, str, str]]
"""Status, detail and remedy by name."""
NEVER_REPORTED = {"beat", "worker", "deribit:btc_usd", "deribit:eth_usd"}


@pytest.fixture
async def fresh_prices(sql: asyncpg.Connection) -> None:
    """A live price of this minute of each ticker, with which beat and workers may be unknown."""
    for ticker in ("btc_usd", "eth_usd"):
        await store(sql, [int(time.time()) // 60 * 60], ticker=ticker)


@pytest.fixture
async def postgres(directory: Path) -> AsyncIterator[TlsPostgres]:
    async with tls_postgres(directory) as server:
        yield server


async def _doctor(settings: Settings, **env: str) -> Found:
    """Run it with `--json` in a surrounding that something is wrong with."""
    ended = await run_cli(settings, "doctor", "--json", **env)
    assert (ended.returncode, ended.stderr) == (1, "")
    result = json.loads(ended.stdout)
    assert result["status"] == "failing"
    return {
        check["name"]: (check["status"], check["detail"], check["remedy"])
        for check in result["checks"]
    }


def _names(found: Found, status: str) -> set[str]:
    return {name for name, finding in found.items() if finding[0] == status}


@pytest.mark.usefixtures("fresh_prices")
async def test_what_works_is_listed_and_ends_with_0(settings: Settings) -> None:
    ended = await run_cli(settings, "doctor")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = [line.split(maxsplit=2) for line in ended.stdout.splitlines()]
    assert [(state, name) for state, name, _ in found] == [
        ("ok", name)
        for name in (
            *("settings", "disk", "database", "schema", "broker", "exchange", "clock"),
            *("beat", "worker", "deribit:btc_usd", "deribit:eth_usd"),
        )
    ]
    assert found[2][2].startswith("PostgreSQL ")


@pytest.mark.usefixtures("fresh_prices")
async def test_what_works_comes_as_json(settings: Settings) -> None:
    result = json.loads((await run_cli(settings, "doctor", "--json")).stdout)
    assert result["status"] == "ok"
    assert result["checks"][0] == {
        "name": "settings",
        "status": "ok",
        "detail": "valid",
        "remedy": "",
    }


async def test_processes_that_never_reported_are_to_be_started(settings: Settings) -> None:
    found = await _doctor(settings)
    assert _names(found, "failing") == NEVER_REPORTED
    assert found["beat"][1:] == ("no beat has reported", "start one: `python -m app beat`")
    assert found["worker"][2] == "start one: `python -m app worker`"


async def test_postgresql_that_is_away_is_told_and_the_rest_is_checked(settings: Settings) -> None:
    port = free_port()
    found = await _doctor(settings, DATABASE_URL=f"postgresql+asyncpg://me@127.0.0.1:{port}/prices")
    assert found["database"] == (
        "failing",
        f"PostgreSQL does not listen there (host 127.0.0.1, port {port}, user me, database prices)",
        "start the embedded servers with `make run`, or set DATABASE_URL",
    )
    assert _names(found, "ok") == {"settings", "disk", "broker", "exchange"}
    assert _names(found, "skipped") == {"schema", "clock", "tickers"}


async def test_redis_that_is_away_is_told_and_the_rest_is_checked(settings: Settings) -> None:
    port = free_port()
    found = await _doctor(settings, REDIS_URL=f"redis://127.0.0.1:{port}/0")
    assert found["broker"] == (
        "failing",
        f"Redis does not listen there (host 127.0.0.1, port {port})",
        "start the embedded servers with `make run`, or set REDIS_URL",
    )
    assert _names(found, "ok") == {"settings", "disk", "database", "schema", "clock"}
    assert _names(found, "skipped") == {"exchange", "beat", "worker"}


@pytest.mark.usefixtures("fresh_prices")
async def test_broker_of_celery_is_checked_if_it_is_another_server(settings: Settings) -> None:
    port = free_port()
    found = await _doctor(settings, CELERY_BROKER_URL=f"amqp://me:hunter2@127.0.0.1:{port}//")
    state, detail, remedy = found["celery"]
    assert state == "failing"
    assert detail.startswith(f"nothing listens there (host 127.0.0.1, port {port}): ")
    assert remedy == "start the broker, or correct CELERY_BROKER_URL"
    assert _names(found, "failing") == {"celery"}
    assert "hunter2" not in str(found)
    redis = settings.model_dump()["redis_url"].get_secret_value()
    ended = await run_cli(settings, "doctor", CELERY_BROKER_URL=redis)
    assert "its broker listens (host 127.0.0.1, port " in ended.stdout


@pytest.mark.xdist_group("tls")
async def test_wrong_password_is_told_and_not_shown(
    settings: Settings, postgres: TlsPostgres
) -> None:
    wrong = postgres.url().replace(ESCAPED, "hunter2")
    redis = settings.model_dump()["redis_url"].get_secret_value().replace("//", "//nobody:hunter2@")
    found = await _doctor(settings, DATABASE_URL=wrong, REDIS_URL=redis)
    assert found["database"][1].startswith("PostgreSQL refuses the user or the password (host")
    assert found["broker"][1].startswith("Redis refuses the login")
    assert "hunter2" not in str(found)


async def test_old_schema_is_to_be_upgraded(settings: Settings, sql: asyncpg.Connection) -> None:
    await sql.execute("UPDATE alembic_version SET version_num = '20261121_sound_rows'")
    found = await _doctor(settings)
    assert found["schema"][0] == "failing"
    assert "is at 20261121_sound_rows, this code needs " in found["schema"][1]
    assert found["schema"][2] == "run `alembic upgrade head`"
    assert found["database"][0] == "ok"
    assert "deribit's" in found["clock"][1]  # which a price of the exchange tells without a row


async def test_missing_table_is_a_line_and_no_traceback(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    await sql.execute("DROP TABLE price_hours CASCADE")
    found = await _doctor(settings)
    assert found["database"][0] == "failing"
    assert "schema is not whole: run `alembic upgrade head`" in found["database"][1]


@pytest.mark.usefixtures("fresh_prices")
async def test_exchange_that_is_away_is_told(settings: Settings) -> None:
    found = await _doctor(settings, DERIBIT_BASE_URL=f"http://127.0.0.1:{free_port()}/api/v2")
    assert found["exchange"][0] == "failing"
    assert found["exchange"][1].startswith("exchange_unreachable (")
    assert "DERIBIT_BASE_URL" in found["exchange"][2]
    assert _names(found, "failing") == {"exchange"}


async def test_exchange_that_answers_nonsense_is_told(
    settings: Settings, exchange: Exchange
) -> None:
    exchange.add_fault("html")
    found = await _doctor(settings)
    assert found["exchange"][1].startswith("exchange_")


@pytest.mark.usefixtures("fresh_prices")
async def test_wrong_ticker_is_named(settings: Settings) -> None:
    found = await _doctor(settings, TICKERS="btc_usd,etc_usdd")
    assert found["tickers"] == ("failing", "not listed: deribit:etc_usdd", "correct TICKERS")
    assert found["exchange"][0] == "ok"


@pytest.mark.usefixtures("fresh_prices")
async def test_misspelled_setting_is_named(settings: Settings) -> None:
    found = await _doctor(settings, TICKER="btc_usd")
    assert found["spelling"] == (
        "failing",
        "no setting, and ignored: TICKER (TICKERS is one)",
        "rename or unset it",
    )
    assert _names(found, "failing") == {"spelling"}
    assert _names(found, "skipped") == set()


@pytest.mark.usefixtures("fresh_prices")
@pytest.mark.parametrize(("hours", "words"), [(-2, "s ahead of"), (2, "s behind")])
async def test_clock_off_is_told(
    settings: Settings, exchange: Exchange, hours: int, words: str
) -> None:
    exchange.set_clock(hours * 3_600_000)
    found = await _doctor(settings)
    state, detail, remedy = found["clock"]
    assert state == "failing"
    assert re.match(rf"the database's clock is 7[12]\d\d\.\d {words} deribit's", detail)
    assert remedy == "correct the clock of the database's machine, by NTP"


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ({"COLLECT_INTERVAL_SECONDS": "7"}, {"settings"}),
        ({"DATABASE_URL": "mysql://here"}, {"settings"}),
        ({"TICKERS": "kraken:btc_usd"}, {"settings"}),
        ({"DATABASE_URL": "", "REDIS_URL": ""}, {"database", "broker"}),
        ({"REDIS_URL": ""}, {"broker"}),
    ],
)
async def test_settings_that_make_no_sense_are_told(
    settings: Settings, setting: dict[str, str], names: set[str], tmp_path: Path
) -> None:
    found = await _doctor(settings, DATA_DIR=str(tmp_path), **setting)
    assert _names(found, "failing") == names
    assert {"schema", "exchange", "clock", "beat"} <= _names(found, "skipped")


def test_nothing_is_configured(tmp_path: Path) -> None:
    env = {"PATH": "", "PYTHONPATH": str(PROJECT)}
    ended = run_python("app", "doctor", env=env, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "no database is known; start the embedded one with `make run`" in ended.stdout


def test_directory_that_is_gone_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ended = subprocess.run(  # our own program
        ["/bin/sh", "-c", 'rmdir "$PWD" && exec "$0" -m app doctor', sys.executable],
        env={"PYTHONPATH": str(PROJECT)},
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "failing  disk " in ended.stdout


@pytest.mark.accept
async def test_servers_that_hang_are_told(settings: Settings) -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await _doctor(
            settings,
            DATABASE_URL=f"postgresql+asyncpg://me@{address}/prices",
            REDIS_URL=f"redis://{address}/0",
        )
    assert found["database"][1].startswith("PostgreSQL does not answer in time (host")
    assert found["broker"][1].startswith("Redis does not answer in time (host")


async def test_processes_are_checked_without_a_database(settings: Settings) -> None:
    away = f"postgresql+asyncpg://me@127.0.0.1:{free_port()}/prices"
    found = await _doctor(settings, DATABASE_URL=away)
    assert found["beat"][0] == "failing"


def test_disk_that_is_nearly_full_is_told(tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "made"
    enough, too_little = check_disk(data_dir, 1), check_disk(data_dir, 10**18)
    assert enough.state is State.OK
    assert too_little.state is State.FAILING
    assert too_little.remedy.endswith("at least 1,000,000,000.0 GB are needed")
    assert enough == Finding.ok("disk", enough.detail)
    assert not data_dir.parent.exists()
