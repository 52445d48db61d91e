"""The schemas of responses, for the documentation; the database encodes lists of prices."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Timestamp = Annotated[
    int, Field(description="UNIX seconds, UTC: the start of the slot.", examples=[1768579260])
]
ExactPrice = Annotated[
    float,
    Field(
        description="A JSON number with exactly the digits that the exchange sent.",
        examples=[95123.45],
    ),
]
SourceName = Annotated[
    Literal["live", "backfill", "import"],
    Field(description="Recorded live, repaired from the exchange's chart, or imported."),
]


class OfTickerOut(BaseModel):
    """Something of one ticker."""

    exchange: str = Field(examples=["deribit"])
    ticker: str = Field(examples=["btc_usd"])


class PriceOut(BaseModel):
    """A price in its slot."""

    timestamp: Timestamp
    price: ExactPrice
    source: SourceName


class PriceListOut(OfTickerOut):
    """A page of prices of one ticker."""

    count: int = Field(description="Items on this page.", examples=[1])
    items: list[PriceOut]
    next: str | None = Field(
        description="The next page's address, null on the last page; also in the Link header.",
        examples=["/api/v1/prices?ticker=btc_usd&limit=1000&order=asc&cursor=MTc2ODU3OTI2MC4"],
    )


class PriceAtOut(PriceOut, OfTickerOut):
    """The price at a moment."""


class LatestPriceOut(PriceAtOut):
    """The newest price and its age."""

    age_seconds: int = Field(
        description="From the slot's start to this server's clock, never below 0.", examples=[12]
    )
    stale: bool = Field(description="Older than two intervals.", examples=[False])


class LatestPriceListOut(BaseModel):
    """The newest prices of several tickers, in the order in which they were named."""

    items: list[LatestPriceOut]


class CandleOut(BaseModel):
    """The prices of an interval in brief; the four are null where `fill=null` filled."""

    timestamp: int = Field(description="UNIX seconds, UTC: its start.", examples=[1768579200])
    open: ExactPrice | None
    high: ExactPrice | None
    low: ExactPrice | None
    close: ExactPrice | None
    samples: int = Field(description="Prices in it; 0 if it was filled.", examples=[60])
    closed: bool = Field(description="No live price can come for it any more.", examples=[True])


class CandleListOut(OfTickerOut):
    """A page of candles of one ticker."""

    interval: Literal["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"] = Field(examples=["1h"])
    count: int = Field(description="Items on this page.", examples=[1])
    items: list[CandleOut]
    next: str | None = Field(
        description="The next page's address, null on the last page; also in the Link header.",
        examples=["/api/v1/prices/candles?ticker=btc_usd&interval=1h&cursor=MTc2ODU3OTI2MC4"],
    )


class TickerOut(OfTickerOut):
    """What is stored of a ticker."""

    active: bool = Field(description="It is being recorded now.")
    interval_seconds: int = Field(examples=[60])
    first: int | None = Field(description="The first slot stored.", examples=[1768492800])
    last: int | None = Field(description="The last slot stored.", examples=[1768579260])
    rows: int = Field(examples=[1442])


class TickerListOut(BaseModel):
    """Every ticker that is or was recorded."""

    items: list[TickerOut]


class GapOut(BaseModel):
    """A run of slots without a price."""

    model_config = ConfigDict(validate_by_name=True)

    first: int = Field(alias="from", description="Its first slot.", examples=[1768579260])
    last: int = Field(alias="to", description="Its last slot.", examples=[1768579320])
    missing: int = Field(description="Its slots.", examples=[2])
    reason: Literal[
        "pending",
        "chart_too_coarse",
        "chart_has_no_point",
        "before_chart",
        "beyond_lookback",
        "unknown_ticker",
        "exchange_not_configured",
    ] = Field(
        description="Why there is no price. `pending`: the scheduled repair will ask. "
        "`beyond_lookback`: older than it looks back, a requested repair asks. "
        "`unknown_ticker`, `exchange_not_configured`: nobody is asked. "
        "The others: the exchange can't give it."
    )


class SlotCountsOut(OfTickerOut):
    """What was promised of a ticker, what is stored of it, and what is missing."""

    model_config = ConfigDict(validate_by_name=True)

    first: int | None = Field(
        alias="from", description="The first slot promised.", examples=[1768492800]
    )
    last: int | None = Field(alias="to", description="The last one.", examples=[1768579260])
    interval_seconds: int = Field(examples=[60])
    expected: int = Field(description="Slots that were to be recorded.", examples=[1442])
    stored: int = Field(description="Those that have a price.", examples=[1440])
    live: int = Field(examples=[1437])
    backfilled: int = Field(examples=[3])
    imported: int = Field(examples=[0])
    missing: int = Field(examples=[2])


class CoverageOut(SlotCountsOut):
    """The slots of a ticker and its gaps.

    All numbers are about the whole period, `gaps` is a page of it.
    """

    longest_gap: int = Field(description="Slots of the longest gap.", examples=[2])
    gaps: list[GapOut]
    next: str | None = Field(
        description="The address of the gaps that follow, null on the last page.",
        examples=["/api/v1/coverage?ticker=btc_usd&limit=1000&cursor=MTc2ODU3OTI2MC4"],
    )


class PeriodCoverageOut(BaseModel):
    """The slots of a day or an hour, as far as it lies in the period that was asked for."""

    timestamp: int = Field(description="UNIX seconds, UTC: its start.", examples=[1768521600])
    expected: int = Field(description="Slots that were to be recorded.", examples=[961])
    live: int = Field(examples=[950])
    backfilled: int = Field(examples=[8])
    imported: int = Field(examples=[0])
    missing: int = Field(examples=[3])


class CoverageByPeriodOut(SlotCountsOut):
    """The slots of a ticker by day or by hour.

    `count`, `items` and `next` are about a page, the other numbers about the whole period.
    """

    count: int = Field(description="Items on this page.", examples=[1])
    items: list[PeriodCoverageOut] = Field(
        description="The days or hours in which slots were to be recorded, oldest first."
    )
    next: str | None = Field(
        description="The next page's address, null on the last page; also in the Link header.",
        examples=["/api/v1/coverage?ticker=btc_usd&by=day&limit=1000&cursor=MTc2ODUyMTYwMC4"],
    )


class TaskOut(BaseModel):
    """A task that was started."""

    task_id: str = Field(examples=["0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11"])
    status_url: str = Field(examples=["/api/v1/tasks/0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11"])


class CollectionOut(BaseModel):
    """What a collection did, by ticker, over all of its parts."""

    stored: list[str] = Field(examples=[["btc_usd"]])
    already: list[str] = Field(examples=[["eth_usd"]])
    failed: dict[str, str] = Field(
        description="Error codes by ticker.", examples=[{"sol_usd": "exchange_timeout"}]
    )


class BackfillOut(BaseModel):
    """What a repair did, in slots; those that were missing are one of the three."""

    filled: int = Field(description="From the exchange's charts.", examples=[30])
    unfillable: int = Field(
        description="The exchange can't give them, now or when it was asked.", examples=[0]
    )
    remaining: int = Field(description="Worth another repair.", examples=[0])
    failed: dict[str, str] = Field(
        description="Error codes by ticker; `*` if the repair as a whole broke.",
        examples=[{"sol_usd": "exchange_timeout"}],
    )


class TaskStatusOut(BaseModel):
    """How far a task is."""

    task_id: str = Field(examples=["0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11"])
    state: Literal["PENDING", "STARTED", "SUCCESS", "FAILURE"] = Field(examples=["SUCCESS"])
    result: CollectionOut | BackfillOut | None = Field(
        description="Null until the task has ended; then what a collection or a repair did."
    )


class ParameterProblemOut(BaseModel):
    """What is wrong with a parameter."""

    parameter: str = Field(examples=["limit"])
    message: str = Field(examples=["Input should be less than or equal to 10000"])


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["No such ticker"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no ticker deribit:nope_usd is known; known are …"])
    code: str = Field(description="Stable, for programs.", examples=["ticker_not_found"])


class ParametersProblemOut(ProblemOut):
    """An error about parameters."""

    errors: list[ParameterProblemOut]
