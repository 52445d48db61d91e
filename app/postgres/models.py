"""The tables."""

import datetime as dt
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, Numeric, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The metadata that Alembic compares with the database."""


class PriceRow(Base):
    """One price; `timestamp` is the slot in UNIX seconds."""

    __tablename__ = "prices"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timestamp: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    price: Mapped[Decimal] = mapped_column(Numeric)
    observed_us: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )


class RecordingRow(Base):
    """A promise to record a ticker at an interval; without a last slot it is still open."""

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

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int | None] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)


class HourRow(Base):
    """An hour's prices in brief; triggers on `prices` write it with the rows, see ADR 12.

    `grid_seconds` is the greatest common divisor of a day and all stamps in the hour.
    """

    __tablename__ = "price_hours"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
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


class UnfillableRow(Base):
    """A run of slots, both ends inclusive, that the exchange could not give when asked."""

    __tablename__ = "unfillable"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )


class RetryRow(Base):
    """A run of slots, both ends inclusive, that a chart did not give and may give yet."""

    __tablename__ = "repair_retries"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    first_slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_slot: Mapped[int] = mapped_column(BigInteger)
    interval_seconds: Mapped[int] = mapped_column(Integer)
    tries: Mapped[int] = mapped_column(Integer)
    next_us: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(Text)


class ChangeRow(Base):
    """Slots that a transaction changed, or promises anew; all NULL: everything.

    Triggers on `prices` and `recordings` write it.
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
        DateTime(timezone=True), server_default=text("now()")
    )


class ExchangeClockRow(Base):
    """How far an exchange's clock is ahead of a host's steady one; ADR 15 tells what for."""

    __tablename__ = "exchange_clocks"

    exchange: Mapped[str] = mapped_column(Text, primary_key=True)
    host: Mapped[str] = mapped_column(Text, primary_key=True)
    offset_us: Mapped[int | None] = mapped_column(BigInteger)
    former_offset_us: Mapped[int | None] = mapped_column(BigInteger)
    doubted_offset_us: Mapped[int | None] = mapped_column(BigInteger)
    doubted_since_us: Mapped[int | None] = mapped_column(BigInteger)
    noted_at: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("now()")
    )
