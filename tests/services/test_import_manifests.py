"""An import with a manifest takes the whole file unaltered, or nothing of it."""

import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.core.errors import ImportRefused
from app.domain.imports import ImportRequest, ImportResult
from app.postgres.database import Database
from app.services.imports import ImportService

T0 = 1_768_579_200
ROWS = [f"deribit,btc_usd,{T0 + 60 * number},{number + 1}.50,live\n" for number in range(500)]
CONTENT = "".join(["exchange,ticker,timestamp,price,source\n", *ROWS]).encode()
DIGEST = {"bytes": len(CONTENT), "sha256": sha256(CONTENT).hexdigest()}


async def _load(database: Database, directory: Path, content: bytes, manifest: Any) -> ImportResult:  # noqa: ANN401  # any JSON
    path, manifest_path = directory / "btc.csv", directory / "btc.json"
    path.write_bytes(content)
    manifest_path.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    request = ImportRequest(None, None, 60, manifest=manifest_path)
    return await ImportService(database).load(path, request, lambda _: None)


@pytest.mark.parametrize("content", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "gzipped"])
async def test_file_that_agrees_with_its_manifest_is_imported(
    database: Database, tmp_path: Path, content: bytes
) -> None:
    assert (await _load(database, tmp_path, content, DIGEST)).added == len(ROWS)


PACKED = gzip.compress(CONTENT)
DAMAGED = {
    "cut off between two rows": (CONTENT.removesuffix(ROWS[-1].encode()), "it is cut off: "),
    "cut off within a row": (CONTENT[:-9], "it is cut off: "),
    "cut off within gzip": (PACKED[:-9], "it is cut off: "),
    "empty": (b"", "it is cut off: 0 of the "),
    "one digit altered": (CONTENT.replace(b",1.50,", b",1.51,"), "was altered"),
    "a row added": (CONTENT + ROWS[-1].encode(), "was altered"),
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_file_that_differs_from_its_manifest_is_refused_whole(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, damage: str
) -> None:
    content, words = DAMAGED[damage]
    with pytest.raises(ImportRefused, match=words) as refused:
        await _load(database, tmp_path, content, DIGEST)
    assert str(refused.value).startswith(f"{tmp_path / 'btc.csv'}: it is ")
    assert str(tmp_path / "btc.json") in str(refused.value)
    assert await sql.fetchval("SELECT count(*) FROM prices") == 0
    assert await sql.fetchval("SELECT count(*) FROM recordings") == 0


@pytest.mark.parametrize("manifest", ["", "[]", "null", "{}", '{"bytes":"x","sha256":"y"}', "\0"])
async def test_file_that_is_no_manifest_is_named(
    database: Database, tmp_path: Path, manifest: str
) -> None:
    with pytest.raises(ImportRefused, match=r"btc\.json is no manifest of an export"):
        await _load(database, tmp_path, CONTENT, manifest)
