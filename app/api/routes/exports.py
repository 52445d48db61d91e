"""The route that streams a ticker's rows as a file of any length."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.api.accept_encoding import accepts_gzip
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.export_manifests import ExportManifestOut, export_manifest
from app.api.time_parameters import AsOfDep, TimeRangeDep
from app.core.errors import AppError, ParametersInvalid, TooManyExports
from app.domain.exports import Export, ExportFormat

SEND_TIMEOUT_SECONDS: Final = 60.0
"""A client that receives no chunk for so long is taken to be gone."""
CHUNK_BYTES: Final = 65_536
PARQUET_TYPE: Final = "application/vnd.apache.parquet"
MEDIA_TYPES: Final = {
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.PARQUET: PARQUET_TYPE,
}
EXAMPLES: Final = {
    "text/csv": "exchange,ticker,timestamp,price,source\n"
    "deribit,btc_usd,1768579260,95123.45,live\n",
    "application/x-ndjson": '{"exchange":"deribit","ticker":"btc_usd","timestamp":1768579260,'
    '"price":95123.45,"source":"live"}\n',
}
FILE_RESPONSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file, in the order of time; with `manifest`, its description.",
        "model": ExportManifestOut,
        "headers": {
            "Content-Disposition": {
                "description": "The file's name, after its ticker and its time.",
                "schema": {"type": "string"},
            }
        },
        "content": {
            **{
                media_type: {"schema": {"type": "string", "examples": [example]}}
                for media_type, example in EXAMPLES.items()
            },
            MEDIA_TYPES[ExportFormat.PARQUET]: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

router = APIRouter(
    prefix="/prices",
    tags=["prices"],
    responses=problem_responses(*TICKER_ERRORS, TooManyExports),
)
log = structlog.get_logger(__name__)


@router.get(
    "/export",
    summary="The rows of a period as a file",
    response_class=StreamingResponse,
    responses=FILE_RESPONSE,
)
async def export_prices(
    runtime: RuntimeDep,
    key: TickerDep,
    time_range: TimeRangeDep,
    as_of_us: AsOfDep,
    *,
    format_: Annotated[
        ExportFormat, Query(alias="format", description="What the file is written as.")
    ] = ExportFormat.CSV,
    manifest: Annotated[
        bool,
        Query(description="Describe the file instead: its rows, its gaps and its SHA-256."),
    ] = False,
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Every row of a period, oldest first, as a file of any length; both bounds are inclusive.

    A connection that ends early is resumed from the second after the last whole line. With
    `manifest`, the same rows are read and described instead, as JSON.
    """
    if manifest and as_of_us is not None:
        raise ParametersInvalid({"manifest": "can't be combined with as_of: it names today's gaps"})
    export = await runtime.exports.prepare(key, time_range, format_, as_of_us)
    if export.stored is None:
        await runtime.reader.require_known_ticker(key)
    if manifest:
        described = await export_manifest(runtime, export)
        return JSONResponse(described.model_dump(by_alias=True))
    is_gzip = format_ is not ExportFormat.PARQUET and accepts_gzip(accept_encoding)
    chunks = runtime.exports.stream(export, gzipped=is_gzip)
    first = await anext(chunks, b"")  # an error before the first chunk still gets a status code
    return _FileResponse(_in_small_chunks(first, chunks), headers=_headers(export, is_gzip=is_gzip))


class _FileResponse(StreamingResponse):
    """A stream that ends the connection on an error, or if the client reads no more."""

    body_iterator: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream it, and close the export however the stream ends."""
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send chunk by chunk; without the final message, the server closes the connection."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except AppError as error:
            log.warning("export_cut", code=error.code, detail=str(error))
        except TimeoutError:
            log.info("export_abandoned", seconds=SEND_TIMEOUT_SECONDS)


async def _in_small_chunks(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield everything in chunks that a slow client receives within the timeout."""
    block: bytes | None = first
    async with aclosing(rest):
        while block is not None:
            for start in range(0, len(block), CHUNK_BYTES):
                yield block[start : start + CHUNK_BYTES]
            block = await anext(rest, None)


def _headers(export: Export, *, is_gzip: bool) -> dict[str, str]:
    headers = {
        "Content-Type": MEDIA_TYPES[export.file_format],
        "Content-Disposition": f'attachment; filename="{export.file_name}"',
        "Vary": "Accept-Encoding",
    }
    return {**headers, "Content-Encoding": "gzip"} if is_gzip else headers
