"""The routes of TradingView's UDF protocol: a chart attaches by the address of `/udf`."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import StringConstraints

from app.api.dependencies import RuntimeDep
from app.api.errors import UDF_PATH
from app.api.udf_parameters import HistoryQueryDep, SymbolDep
from app.api.udf_schemas import (
    SYMBOL_TYPE,
    UdfBarsOut,
    UdfConfigOut,
    UdfErrorOut,
    UdfExchangeOut,
    UdfNoBarsOut,
    UdfSearchItemOut,
    UdfSymbolOut,
    UdfSymbolTypeOut,
)
from app.domain.candle_queries import CandleColumns
from app.domain.prices import TickerKey
from app.domain.symbols import search_tickers, symbol_of

ALL_EXCHANGES: Final = UdfExchangeOut(value="", name="All exchanges", desc="")
SYMBOL_TYPES: Final = [
    UdfSymbolTypeOut(name="All types", value=""),
    UdfSymbolTypeOut(name="Index", value=SYMBOL_TYPE),
]
MAX_SEARCH_RESULTS: Final = 1_000
DEFAULT_SEARCH_RESULTS: Final = 30

router = APIRouter(prefix=UDF_PATH, tags=["tradingview"])

SearchFilter = Annotated[str, StringConstraints(max_length=100)]


@router.get("/config", summary="What the feed can do", response_model=UdfConfigOut | UdfErrorOut)
async def udf_config(runtime: RuntimeDep) -> UdfConfigOut:
    """TradingView's UDF: what the library asks first. No server behind is needed for it."""
    names = sorted({key.exchange for key in runtime.reader.configured})
    exchanges = [UdfExchangeOut(value=name, name=name, desc=name) for name in names]
    return UdfConfigOut(exchanges=[ALL_EXCHANGES, *exchanges], symbols_types=SYMBOL_TYPES)


@router.get("/symbols", summary="A symbol", response_model=UdfSymbolOut | UdfErrorOut)
async def udf_symbols(runtime: RuntimeDep, key: SymbolDep) -> UdfSymbolOut:
    """TradingView's UDF: how to draw a symbol. Its price scale follows the recorded digits."""
    precision = await runtime.reader.read_precision(key)
    return UdfSymbolOut(
        ticker=symbol_of(key),
        name=key.ticker,
        full_name=str(key),
        description=_description(key),
        exchange=key.exchange,
        listed_exchange=key.exchange,
        pricescale=precision.scale,
    )


@router.get(
    "/search", summary="Symbols that match", response_model=list[UdfSearchItemOut] | UdfErrorOut
)
async def udf_search(
    runtime: RuntimeDep,
    query: Annotated[SearchFilter, Query(description="A part of the name; nothing: all.")] = "",
    type_: Annotated[
        SearchFilter, Query(alias="type", description=f"`{SYMBOL_TYPE}`, or nothing.")
    ] = "",
    exchange: Annotated[SearchFilter, Query(description="An exchange; nothing: all.")] = "",
    limit: Annotated[
        int, Query(ge=1, le=MAX_SEARCH_RESULTS, description="The maximum number of results.")
    ] = DEFAULT_SEARCH_RESULTS,
) -> list[UdfSearchItemOut]:
    """TradingView's UDF: every ticker that is or was recorded, searched by its letters."""
    if type_ not in {"", SYMBOL_TYPE}:
        return []
    found = search_tickers(await runtime.reader.known_tickers(), query, exchange, limit)
    return [_search_item(key) for key in found]


@router.get("/time", summary="The server's clock", response_model=int | UdfErrorOut)
async def udf_time(runtime: RuntimeDep) -> int:
    """TradingView's UDF: a bare number of UNIX seconds."""
    return int(runtime.now())


@router.get("/history", summary="Bars", response_model=UdfBarsOut | UdfNoBarsOut | UdfErrorOut)
async def udf_history(runtime: RuntimeDep, query: HistoryQueryDep) -> Response:
    """TradingView's UDF: the candles before `to`, which is exclusive, as columns.

    `countback` reaches back across gaps to as many bars as there are. There is no volume.
    """
    body = _encode_history(await runtime.reader.read_last_candles(query))
    return Response(body, media_type="application/json")


def _encode_history(bars: CandleColumns) -> str:
    if bars.count:
        return (
            f'{{"s":"ok","t":[{bars.starts}],"o":[{bars.opens}],"h":[{bars.highs}],'
            f'"l":[{bars.lows}],"c":[{bars.closes}]}}'
        )
    if bars.last_start_before is None:
        return '{"s":"no_data"}'
    return f'{{"s":"no_data","nextTime":{bars.last_start_before}}}'


def _search_item(key: TickerKey) -> UdfSearchItemOut:
    return UdfSearchItemOut(
        symbol=key.ticker,
        ticker=symbol_of(key),
        full_name=str(key),
        description=_description(key),
        exchange=key.exchange,
    )


def _description(key: TickerKey) -> str:
    return f"Index price {key.ticker} of {key.exchange}"
