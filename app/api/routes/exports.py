"""The route that streams a ticker's rows as a file of any length."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.api.accept_encoding import takes_gzip
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import problems
from app.api.time_parameters import SpanDep
from app.core.errors import (
    AppError,
    DatabaseUnavailable,
    ParametersInvalid,
    SchemaOutdated,
    TickerNotFound,
    TooManyExports,
)
from app.domain.exports import Export, ExportFormat

STALLED_SECONDS: Final = 60.0
"""A client that takes no piece for so long has gone."""
PIECE_BYTES: Final = 65_536
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
FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file, in the order of time.",
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
    responses=problems(
        TickerNotFound, ParametersInvalid, TooManyExports, DatabaseUnavailable, SchemaOutdated
    ),
)
log = structlog.get_logger(__name__)


@router.get(
    "/export",
    summary="The rows of a period as a file",
    response_class=StreamingResponse,
    responses=FILE,
)
async def export_prices(
    runtime: RuntimeDep,
    key: TickerDep,
    span: SpanDep,
    form: Annotated[
        ExportFormat, Query(alias="format", description="What the file is written as.")
    ] = ExportFormat.CSV,
    accept_encoding: Annotated[str, Header(include_in_schema=False)] = "",
) -> StreamingResponse:
    """Every row of a period, oldest first, as a file of any length; both bounds are inclusive.

    A connection that ends early is resumed from the second after the last whole line.
    """
    export = await runtime.exports.prepare(key, span, form)
    if export.stored is None:
        await runtime.reader.require_known_ticker(key)
    packed = form is not ExportFormat.PARQUET and takes_gzip(accept_encoding)
    pieces = runtime.exports.stream(export, gzipped=packed)
    first = await anext(pieces, b"")  # what fails before it is an answer with a status of its own
    return _File(_following(first, pieces), headers=_headers(export, packed=packed))


class _File(StreamingResponse):
    """A stream that is cut off where it breaks, or where its reader reads no more."""

    body_iterator: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream it, and let go of what it holds, however it ends."""
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send piece by piece; without the last message, the server cuts the connection."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except AppError as error:
            log.warning("export_cut", code=error.code, detail=str(error))
        except TimeoutError:
            log.info("export_abandoned", seconds=STALLED_SECONDS)


async def _following(
    first: bytes, rest: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Give everything in pieces that a slow reader takes in time."""
    async with aclosing(rest):
        for piece in _cut(first):
            yield piece
        async for block in rest:
            for piece in _cut(block):
                yield piece


def _cut(block: bytes) -> list[bytes]:
    return [block[at : at + PIECE_BYTES] for at in range(0, len(block), PIECE_BYTES)]


def _headers(export: Export, *, packed: bool) -> dict[str, str]:
    headers = {
        "Content-Type": MEDIA_TYPES[export.file_format],
        "Content-Disposition": f'attachment; filename="{export.file_name}"',
        "Vary": "Accept-Encoding",
    }
    return {**headers, "Content-Encoding": "gzip"} if packed else headers
