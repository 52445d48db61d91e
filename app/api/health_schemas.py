"""The schemas of health and status responses, for the documentation."""

from typing import Literal

from pydantic import BaseModel, Field


class CheckOut(BaseModel):
    """One thing that was checked."""

    status: Literal["ok", "failing"] = Field(examples=["ok"])
    detail: str = Field(examples=["answers"])


class HealthOut(BaseModel):
    """Whether something works, and what was checked."""

    status: Literal["ok", "failing"] = Field(examples=["ok"])
    checks: dict[str, CheckOut] = Field(description="By name; empty where nothing was checked.")


class TickerStatusOut(BaseModel):
    """How fresh a ticker is, and its slots of the last 24 hours.

    Numbers are null while the database does not answer, slots also before the first live price.
    """

    exchange: str = Field(examples=["deribit"])
    ticker: str = Field(examples=["btc_usd"])
    age_seconds: int | None = Field(
        description="Age of the newest live price's slot, by the exchange's clock.", examples=[12]
    )
    stale: bool = Field(description="Older than two intervals, or unknown.", examples=[False])
    reason: str | None = Field(
        description="Why it is stale, for programs: `database_unavailable`, `database_full`, "
        "`broker_unavailable`, `beat_silent`, `worker_silent`, the error code of its last failed "
        "collection (such as `exchange_timeout`, `database_blocked`, `schema_outdated` or, after a "
        "defect, `internal_error`), or `nothing_reported`.",
        examples=[None],
    )
    reason_text: str | None = Field(
        description="The reason in a few words, for people.", examples=[None]
    )
    detail: str = Field(
        description="The age, and the reason with all that is known of it.",
        examples=["the newest slot is 12 s old"],
    )
    last_slot: int | None = Field(description="The newest live slot.", examples=[1768579260])
    next_slot: int | None = Field(
        description="The slot whose live price comes next.", examples=[1768579320]
    )
    repaired_last_day: int | None = Field(
        description="Slots of the last 24 hours with a `backfill` price.", examples=[8]
    )
    missing_last_day: int | None = Field(
        description="Slots of the last 24 hours without a price.", examples=[0]
    )


class ExchangeStatusOut(BaseModel):
    """How fast an exchange answers."""

    exchange: str = Field(examples=["deribit"])
    answer_milliseconds: float | None = Field(
        description="Its fastest answer of the last tick; null if its last tick got no answer.",
        examples=[84.2],
    )


class ProcessStatusOut(BaseModel):
    """A beat or a worker."""

    name: str = Field(examples=["celery@host"])
    seconds_since_heard: float = Field(description="Since its last heartbeat.", examples=[0.6])
    silent: bool = Field(description="Longer than it may be.", examples=[False])


class ServerStatusOut(BaseModel):
    """PostgreSQL or Redis, as this process sees it."""

    name: Literal["database", "broker"] = Field(examples=["database"])
    status: Literal["ok", "failing"] = Field(examples=["ok"])
    detail: str = Field(examples=["answers"])
    answer_milliseconds: float | None = Field(
        description="How long it took to answer this check; null if it did not.", examples=[2.4]
    )


class ClocksOut(BaseModel):
    """How far clocks of ours are ahead of an exchange's, in seconds."""

    exchange: str = Field(examples=["deribit"])
    database_seconds: float = Field(examples=[0.021])
    server_seconds: float = Field(description="Of this API process.", examples=[0.018])


class StatusOut(BaseModel):
    """What `/health/collector` knows, as data; at most a second old."""

    timestamp: int = Field(
        description="UNIX seconds by this server's clock: when all of it was read.",
        examples=[1768579272],
    )
    version: str = Field(examples=["0.1.0"])
    interval_seconds: int = Field(examples=[60])
    status: Literal["ok", "failing"] = Field(
        description="`ok` if every check of `/health/collector` is.", examples=["ok"]
    )
    tickers: list[TickerStatusOut]
    exchanges: list[ExchangeStatusOut]
    beats: list[ProcessStatusOut] | None = Field(description="Null while Redis does not answer.")
    workers: list[ProcessStatusOut] | None = Field(description="Null while Redis does not answer.")
    servers: list[ServerStatusOut]
    clocks: list[ClocksOut] = Field(description="Only of exchanges that gave a live price.")
