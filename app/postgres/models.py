"""The tables."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, TypeAlias

from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, Index, Integer, Numeric, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CreationTime: TypeAlias = Annotated[
    dt.datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))
]


class Base(DeclarativeBase):
    """The metadata that Alembic compares with the database."""


class TickerRow(Base):
    """What all rows of a ticker have in common."""

    __abstract__ = True

    exchange: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=-2)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True, sort_order=-1)


class PriceRow(TickerRow):
    """One price; `timestamp` is the slot in UNIX seconds."""

    __tablename__ = "prices"

    timestamp: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    price: Mapped[Decimal] = mapped_column(Numeric)
    observed_us: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )


class RecordingRow(TickerRow):
    """A period in which a ticker is recorded at an interval; open while `last_slot` is NULL."""

    __tablename__ = "recordings"
    __table_args__ = (
        Index(
            "recordings_one_open",
            "exchange",
            "ticker",
            unique=True,
            postgresql_where=text("last_slot IS NULL"),
        ),
    )

    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int | None] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)


class HourRow(TickerRow):
    """The summary of an hour of prices, written by triggers on `prices`; see ADR 12.

    `grid_seconds` is the greatest common divisor of a day and all timestamps in the hour.
    """

    __tablename__ = "price_hours"

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    open: Mapped[Decimal] = mapped_column(Numeric)
    high: Mapped[Decimal] = mapped_column(Numeric)
    low: Mapped[Decimal] = mapped_column(Numeric)
    close: Mapped[Decimal] = mapped_column(Numeric)
    first_slot: Mapped[int] = mapped_column(BigInteger)
    last_slot: Mapped[int] = mapped_column(BigInteger)
    samples: Mapped[int] = mapped_column(BigInteger)
    backfilled: Mapped[int] = mapped_column(BigInteger)
    imported: Mapped[int] = mapped_column(BigInteger)
    grid_seconds: Mapped[int] = mapped_column(BigInteger)


class UnfillableRow(TickerRow):
    """A range of slots, both ends inclusive, for which the exchange had no price when asked."""

    __tablename__ = "unfillable"

    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[CreationTime]


class RetryRow(TickerRow):
    """A range of slots, both ends inclusive, that a chart lacked and may have later."""

    __tablename__ = "repair_retries"

    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)
    tries: Mapped[int] = mapped_column(Integer)
    next_us: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(Text)


class ChangeRow(Base):
    """A range of slots that a transaction changed; if all columns are NULL, everything changed.

    Triggers on `prices` and `recordings` write it. `added_slots` are those of new rows. Every
    transaction before `oldest_running` was over at `noted_at`.
    """

    __tablename__ = "price_changes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    transaction: Mapped[int] = mapped_column(
        BigInteger, server_default=text("pg_current_xact_id()::text::bigint"), index=True
    )
    exchange: Mapped[str | None] = mapped_column(Text)
    ticker: Mapped[str | None] = mapped_column(Text)
    first_slot: Mapped[int | None] = mapped_column(BigInteger)
    last_slot: Mapped[int | None] = mapped_column(BigInteger)
    noted_at: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )
    added_slots: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    oldest_running: Mapped[int | None] = mapped_column(
        BigInteger, server_default=text("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    )


class ExchangeClockRow(Base):
    """How far an exchange's clock is ahead of a host's monotonic clock; see ADR 15."""

    __tablename__ = "exchange_clocks"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    host: Mapped[str] = mapped_column(Text, primary_key=True)
    offset_us: Mapped[int | None] = mapped_column(BigInteger)
    former_offset_us: Mapped[int | None] = mapped_column(BigInteger)
    doubted_offset_us: Mapped[int | None] = mapped_column(BigInteger)
    doubted_since_us: Mapped[int | None] = mapped_column(BigInteger)
    noted_at: Mapped[CreationTime]
