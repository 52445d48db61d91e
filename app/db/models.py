"""The tables."""

import datetime as dt
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Index, Integer, Numeric, Text, text
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
