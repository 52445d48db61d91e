"""Prices leave with the very digits that are stored."""

from decimal import Decimal

import asyncpg

from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import floor_slot
from app.postgres.database import Database
from app.repositories import prices
from tests.api.client import ApiClient
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
DIGITS = [
    "60123.456789",
    "60123.4567",
    "0.00000001",
    "0.000000000000000001",
    "1.10",
    "100.000",
    "95000",
    "120",
    "123456789012",
    "999999999999.99999999",
    "0.1",
    "3.0000000000000000000000000000000000000000000000001",
    "12345678901234567890.12345678901234567890123456789",
]


async def test_digits_written_by_the_service_leave_unchanged(
    api: ApiClient, database: Database
) -> None:
    written = [
        Price(BTC, floor_slot(slot * 1_000_000, 1), Decimal(digits), slot, Source.LIVE)
        for slot, digits in enumerate(DIGITS)
    ]
    async with database.transaction() as session:
        await prices.insert_new(session, written)
    assert await _digits_of_a_list(api) == DIGITS
    assert await _digits_one_by_one(api) == DIGITS


async def test_digits_written_by_plain_sql_leave_unchanged(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    for slot, digits in enumerate(DIGITS):
        values = f"('deribit', 'btc_usd', {slot}, {digits}, 0, 'live')"
        await sql.execute(f"INSERT INTO prices VALUES {values}")  # noqa: S608  # our own digits
    assert await _digits_of_a_list(api) == DIGITS
    assert await _digits_one_by_one(api) == DIGITS


async def test_exponents_are_written_out(api: ApiClient, database: Database) -> None:
    given = [Decimal("1E-8"), Decimal("1.5E+3"), Decimal("6E4")]
    async with database.transaction() as session:
        await prices.insert_new(
            session,
            [
                Price(BTC, floor_slot(slot * 1_000_000, 1), price, slot, Source.LIVE)
                for slot, price in enumerate(given)
            ],
        )
    assert await _digits_of_a_list(api) == ["0.00000001", "1500", "60000"]


async def test_latest_has_the_digits_too(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, [60], price="60123.456789000")
    answer = await api.get("/api/v1/prices/latest?ticker=btc_usd")
    assert b'"price":60123.456789000,' in answer.body


async def _digits_of_a_list(api: ApiClient) -> list[str]:
    answer = await api.get("/api/v1/prices?ticker=btc_usd")
    return [_text_between(item, b'"price":', b",") for item in answer.body.split(b"},{")]


async def _digits_one_by_one(api: ApiClient) -> list[str]:
    path = "/api/v1/prices/at?ticker=btc_usd&tolerance_seconds=0&timestamp="
    answers = [await api.get(f"{path}{slot}") for slot in range(len(DIGITS))]
    return [_text_between(answer.body, b'"price":', b",") for answer in answers]


def _text_between(text: bytes, start: bytes, end: bytes) -> str:
    return text.partition(start)[2].partition(end)[0].decode()
