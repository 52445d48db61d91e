"""The route that lists tickers."""

from dataclasses import asdict

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
    summaries = await runtime.reader.list_tickers()
    return TickerListOut(
        items=[TickerOut(**summary.key._asdict(), **asdict(summary)) for summary in summaries]
    )
