"""The manifest of an export describes the file that the same address gives, byte for byte."""

from hashlib import sha256

import asyncpg
import pytest

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings
from tests.api.client import ApiClient
from tests.repositories.rows import store

T0 = 1_768_579_200
SLOTS = [T0 + 60 * number for number in range(25) if number not in {3, 4, 20}]
URL = "/api/v1/prices/export?ticker=btc_usd"
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
async def record_with_gaps(database: Database, sql: asyncpg.Connection) -> None:
    """Minutes of a closed recording, with two gaps."""
    key = TickerKey("deribit", "btc_usd")
    async with database.transaction() as session:
        await recordings.upsert(session, [Recording(key, 60, Slot(T0), Slot(SLOTS[-1]))])
    await store(sql, SLOTS, price="1.50")


@pytest.mark.usefixtures("record_with_gaps")
@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
async def test_manifest_has_the_digest_of_the_file(api: ApiClient, file_format: str) -> None:
    url = f"{URL}&format={file_format}"
    file = await api.get(url, **PLAIN)
    manifest = (await api.get(f"{url}&manifest=true")).json()
    assert manifest["sha256"] == sha256(file.body).hexdigest()
    assert manifest["bytes"] == len(file.body)
    assert (manifest["format"], manifest["rows"]) == (file_format, len(SLOTS))
    assert (manifest["first"], manifest["last"]) == (SLOTS[0], SLOTS[-1])
    assert f'filename="{manifest["file_name"]}"' in file.headers["content-disposition"]


@pytest.mark.usefixtures("record_with_gaps")
async def test_manifest_lists_the_gaps_that_coverage_lists(api: ApiClient) -> None:
    manifest = (await api.get(f"{URL}&manifest=true")).json()
    coverage = (await api.get("/api/v1/coverage?ticker=btc_usd")).json()
    assert manifest["gaps"] == coverage["gaps"]
    assert [(gap["from"], gap["missing"]) for gap in manifest["gaps"]] == [
        (T0 + 180, 2),
        (T0 + 1200, 1),
    ]
    assert manifest["missing"] == 3
    part = (await api.get(f"{URL}&to_dt={T0 + 240}&manifest=true")).json()
    assert (part["rows"], part["missing"]) == (3, 2)


@pytest.mark.usefixtures("record_with_gaps")
async def test_address_in_the_manifest_excludes_later_rows(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """A minute passes between two requests: the export without bounds has a row more then."""
    manifest = (await api.get(f"{URL}&manifest=true")).json()
    await store(sql, [SLOTS[-1] + 60])
    assert sha256((await api.get(URL)).body).hexdigest() != manifest["sha256"]
    assert sha256((await api.get(manifest["url"])).body).hexdigest() == manifest["sha256"]


async def test_manifest_without_rows(api: ApiClient) -> None:
    manifest = (await api.get(f"{URL}&from_dt={T0}&manifest=true")).json()
    assert (manifest["rows"], manifest["first"], manifest["last"]) == (0, None, None)
    assert (manifest["missing"], manifest["gaps"]) == (0, [])
    assert sha256((await api.get(manifest["url"])).body).hexdigest() == manifest["sha256"]


async def test_manifest_of_an_unknown_ticker_is_an_error(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices/export?ticker=nope&manifest=true")
    assert (answer.status, answer.code) == (404, "ticker_not_found")
    answer = await api.get(f"{URL}&manifest=perhaps")
    assert set(answer.errors_by_parameter) == {"manifest"}
