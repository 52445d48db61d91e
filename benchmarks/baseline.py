"""The baseline: how the same reads are usually written, with care but without further thought.

A pooled async engine, a session per request, ORM rows, a response model.
"""

import os
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    """What the tables have in common."""


class StoredPrice(Base):
    """A row."""

    __tablename__ = "prices"

    exchange: Mapped[str] = mapped_column(primary_key=True)
    ticker: Mapped[str] = mapped_column(primary_key=True)
    timestamp: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    price: Mapped[Decimal]
    source: Mapped[str]


class PriceOut(BaseModel):
    """A price as it goes out."""

    model_config = ConfigDict(from_attributes=True)

    ticker: str
    timestamp: int
    price: Decimal
    source: str


async def open_session() -> AsyncIterator[AsyncSession]:
    """Give each request a session."""
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]


@app.get("/latest", response_model=PriceOut)
async def latest(session: Session, ticker: str) -> StoredPrice:
    """Answer the newest price."""
    query = (
        select(StoredPrice)
        .where(StoredPrice.exchange == "deribit", StoredPrice.ticker == ticker)
        .order_by(StoredPrice.timestamp.desc())
        .limit(1)
    )
    price = (await session.execute(query)).scalar_one_or_none()
    if price is None:
        raise HTTPException(404)
    return price


@app.get("/period", response_model=list[PriceOut])
async def period(
    session: Session, ticker: str, from_dt: int, to_dt: int, limit: int = 1000
) -> Sequence[StoredPrice]:
    """Answer the prices of a period."""
    query = (
        select(StoredPrice)
        .where(
            StoredPrice.exchange == "deribit",
            StoredPrice.ticker == ticker,
            StoredPrice.timestamp.between(from_dt, to_dt),
        )
        .order_by(StoredPrice.timestamp)
        .limit(limit)
    )
    return (await session.execute(query)).scalars().all()
