"""Parameters of TradingView's UDF protocol, whose names and forms are not ours."""

from typing import Annotated, Final

from fastapi import Depends, Query
from pydantic import PlainValidator, WithJsonSchema

from app.api.dependencies import KEY_PATTERN
from app.api.pagination import MAX_ITEMS
from app.core.errors import ParametersInvalid
from app.domain.candle_queries import CandleInterval, CandleQuery, Fill
from app.domain.prices import MAX_SECOND, MIN_SECOND, TickerKey, TimeRange

RESOLUTIONS: Final = {
    "1": CandleInterval.ONE_MINUTE,
    "5": CandleInterval.FIVE_MINUTES,
    "15": CandleInterval.FIFTEEN_MINUTES,
    "30": CandleInterval.THIRTY_MINUTES,
    "60": CandleInterval.ONE_HOUR,
    "240": CandleInterval.FOUR_HOURS,
    "1D": CandleInterval.ONE_DAY,
    "1W": CandleInterval.ONE_WEEK,
}
SHORT_RESOLUTIONS: Final = {"D": "1D", "W": "1W"}
"""How the library writes these two at times."""


def parse_resolution(text: object) -> CandleInterval:
    """Parse minutes, or a number of days or weeks.

    Raises:
        ValueError: no candle has this length.
    """
    name = str(text).upper()
    interval = RESOLUTIONS.get(SHORT_RESOLUTIONS.get(name, name))
    if interval is None:
        raise ValueError(f"is unknown; known are {', '.join(RESOLUTIONS)}")
    return interval


ResolutionParameter = Annotated[
    CandleInterval,
    PlainValidator(parse_resolution),
    WithJsonSchema({"type": "string", "enum": [*RESOLUTIONS, *SHORT_RESOLUTIONS]}),
    Query(
        description="How long a bar is: minutes, `1D` or `1W`.",
        openapi_examples={"an hour": {"value": "60"}},
    ),
]


async def parse_symbol(
    symbol: Annotated[
        str,
        Query(
            description="`ticker`, or `exchange:ticker`, without regard to case.",
            pattern=KEY_PATTERN,
            openapi_examples={"the demo's first": {"value": "BTC_USD"}},
        ),
    ],
) -> TickerKey:
    """Parse a symbol of the protocol."""
    return TickerKey.from_input(symbol)


SymbolDep = Annotated[TickerKey, Depends(parse_symbol)]


async def parse_history_query(
    key: SymbolDep,
    resolution: ResolutionParameter,
    to: Annotated[
        int,
        Query(
            ge=MIN_SECOND,
            le=MAX_SECOND,
            description="Bars start before this time, in UNIX seconds.",
            openapi_examples={"the year 2100": {"value": 4102444800}},
        ),
    ],
    start: Annotated[
        int | None,
        Query(
            alias="from",
            ge=MIN_SECOND,
            le=MAX_SECOND,
            description="Bars start at this time or later; required without `countback`, which "
            "replaces it.",
        ),
    ] = None,
    countback: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_SECOND,
            description="How many bars to return: the last ones before `to`, however far back "
            f"they reach; never more than {MAX_ITEMS}.",
            openapi_examples={"a few": {"value": 5}},
        ),
    ] = None,
) -> CandleQuery:
    """Parse the period of a chart, as a query of its last candles.

    Raises:
        ParametersInvalid: `from` is missing, or is after `to`.
    """
    limit = min(countback or MAX_ITEMS, MAX_ITEMS)
    if countback:
        return CandleQuery(key, resolution, TimeRange(None, to - 1), Fill.NONE, limit)
    if start is None:
        raise ParametersInvalid({"from": "is required without countback"})
    if start > to:
        raise ParametersInvalid({"from": "must not be after to"})
    return CandleQuery(key, resolution, TimeRange(start, to - 1), Fill.NONE, limit)


HistoryQueryDep = Annotated[CandleQuery, Depends(parse_history_query)]
