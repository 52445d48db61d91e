"""The schemas of TradingView's UDF protocol."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.api.udf_parameters import RESOLUTIONS

ResolutionNames = Annotated[list[str], Field(examples=[[*RESOLUTIONS]])]
SYMBOL_TYPE = "index"


class UdfErrorOut(BaseModel):
    """Any failure; its HTTP status is 200, because clients of this protocol read the body alone."""

    s: Literal["error"] = Field(examples=["error"])
    errmsg: str = Field(
        examples=["resolution: is unknown; known are 1, 5, 15, 30, 60, 240, 1D, 1W"]
    )


class UdfExchangeOut(BaseModel):
    """An exchange to filter a search by; an empty value means all."""

    value: str = Field(examples=["deribit"])
    name: str = Field(examples=["deribit"])
    desc: str = Field(examples=["deribit"])


class UdfSymbolTypeOut(BaseModel):
    """A kind of symbol to filter a search by; an empty value means all."""

    name: str = Field(examples=["Index"])
    value: str = Field(examples=[SYMBOL_TYPE])


class UdfConfigOut(BaseModel):
    """What this data feed can do."""

    supports_search: Literal[True] = True
    supports_group_request: Literal[False] = False
    supports_marks: Literal[False] = False
    supports_timescale_marks: Literal[False] = False
    supports_time: Literal[True] = True
    exchanges: list[UdfExchangeOut]
    symbols_types: list[UdfSymbolTypeOut]
    supported_resolutions: ResolutionNames = [*RESOLUTIONS]


class UdfSymbolOut(BaseModel):
    """How to draw a symbol; `ticker` names it in further requests."""

    ticker: str = Field(examples=["btc_usd"])
    name: str = Field(examples=["btc_usd"])
    full_name: str = Field(examples=["deribit:btc_usd"])
    description: str = Field(examples=["Index price btc_usd of deribit"])
    type: Literal["index"] = "index"
    exchange: str = Field(examples=["deribit"])
    listed_exchange: str = Field(examples=["deribit"])
    session: Literal["24x7"] = "24x7"
    timezone: Literal["Etc/UTC"] = "Etc/UTC"
    format: Literal["price"] = "price"
    minmov: Literal[1] = 1
    pricescale: int = Field(
        description="A power of ten, by the digits of recent prices.", examples=[100]
    )
    has_intraday: Literal[True] = True
    has_daily: Literal[True] = True
    has_weekly_and_monthly: Literal[True] = True
    intraday_multipliers: ResolutionNames = [name for name in RESOLUTIONS if name.isdigit()]
    daily_multipliers: ResolutionNames = ["1"]
    weekly_multipliers: ResolutionNames = ["1"]
    monthly_multipliers: list[str] = []
    supported_resolutions: ResolutionNames = [*RESOLUTIONS]
    visible_plots_set: Literal["ohlc"] = "ohlc"
    data_status: Literal["streaming"] = "streaming"


class UdfSearchItemOut(BaseModel):
    """A symbol that a search found."""

    symbol: str = Field(examples=["btc_usd"])
    ticker: str = Field(examples=["btc_usd"])
    full_name: str = Field(examples=["deribit:btc_usd"])
    description: str = Field(examples=["Index price btc_usd of deribit"])
    exchange: str = Field(examples=["deribit"])
    type: Literal["index"] = "index"


class UdfBarsOut(BaseModel):
    """Bars as columns of equal length, oldest first; numbers have exactly the stored digits."""

    s: Literal["ok"] = Field(examples=["ok"])
    t: list[int] = Field(description="Starts, in UNIX seconds.", examples=[[1768579200]])
    o: list[float] = Field(examples=[[95301.2]])
    h: list[float] = Field(examples=[[95377.04]])
    l: list[float] = Field(examples=[[95170.5]])  # noqa: E741  # the protocol's name
    c: list[float] = Field(examples=[[95211.96]])


class UdfNoBarsOut(BaseModel):
    """No bar starts in the range."""

    s: Literal["no_data"] = Field(examples=["no_data"])
    next_time: int | None = Field(
        default=None,
        alias="nextTime",
        description="The start of the last bar before the range; absent where there is none.",
        examples=[1768579200],
    )
