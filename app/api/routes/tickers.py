"""The route that lists tickers."""

from fastapi import APIRouter

from app.api.dependencies import RuntimeDep
from app.api.errors import problem_responses
from app.api.schemas import TickerListOut, TickerOut
from app.core.errors import DatabaseUnavailable, ParametersInvalid, SchemaOutdated

router = APIRouter(
    prefix="/tickers",
    tags=["tickers"],
    responses=problem_responses(ParametersInvalid, DatabaseUnavailable, SchemaOutdated),
)


@router.get("", summary="Every ticker that is or was recorded")
async def list_tickers(runtime: RuntimeDep) -> TickerListOut:
    """Every ticker with what is stored of it; `active` ones are being recorded."""
    return TickerListOut(
        items=[
            TickerOut(
                exchange=summary.key.exchange,
                ticker=summary.key.ticker,
                active=summary.active,
                interval_seconds=summary.interval_seconds,
                first=summary.first,
                last=summary.last,
                rows=summary.rows,
            )
            for summary in await runtime.reader.list_tickers()
        ]
    )
