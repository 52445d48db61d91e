"""The manifest of an export as a response: its schema, and how it is made."""

from typing import Final
from urllib.parse import urlencode

from pydantic import Field

from app.api.schemas import GapOut, OfTickerOut
from app.domain.export_manifests import ExportManifest
from app.domain.exports import Export
from app.runtime import Runtime

PATH: Final = "/api/v1/prices/export"


class ExportManifestOut(OfTickerOut):
    """What the file at `url` holds, so that a damaged copy of it is recognized."""

    format: str = Field(examples=["csv"])
    file_name: str = Field(examples=["deribit-btc_usd-20260116T160100Z-20260116T160100Z.csv"])
    url: str = Field(
        description="The address of exactly these rows, with both bounds.",
        examples=["/api/v1/prices/export?ticker=btc_usd&exchange=deribit&format=csv"],
    )
    rows: int = Field(description="Rows in the file.", examples=[1442])
    first: int | None = Field(description="The slot of its first row.", examples=[1768492800])
    last: int | None = Field(description="The slot of its last row.", examples=[1768579260])
    bytes: int = Field(description="The file's size before gzip.", examples=[64890])
    sha256: str = Field(
        description="The SHA-256 of the file before gzip.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    missing: int = Field(description="Slots of the period without a price.", examples=[2])
    gaps: list[GapOut] = Field(description="All gaps of the period, as `/coverage` lists them.")


async def export_manifest(runtime: Runtime, export: Export) -> ExportManifestOut:
    """Read an export to its end, and describe it."""
    digest = await runtime.exports.measure(export)
    (coverage,) = await runtime.coverage.measure(export.time_range, [export.key])
    manifest = ExportManifest(export, digest, coverage)
    return ExportManifestOut(**manifest.as_json(), url=_url(manifest))


def _url(manifest: ExportManifest) -> str:
    """Return the address of the export, without room for rows that are added at its ends."""
    export, digest = manifest.export, manifest.digest
    start, end = export.time_range if digest.first is None else (digest.first, digest.last)
    query = {
        "ticker": export.key.ticker,
        "exchange": export.key.exchange,
        "from_dt": start,
        "to_dt": end,
        "format": export.file_format.value,
    }
    return (
        f"{PATH}?{urlencode({name: value for name, value in query.items() if value is not None})}"
    )
