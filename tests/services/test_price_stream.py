"""The stream: every row that became visible, once, wherever a reader comes from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.core.errors import TooManyStreams
from app.domain.price_stream import NewRow, NewRows, Reset, StreamPosition
from app.domain.prices import TickerKey
from app.postgres.database import Database
from app.repositories import cache_invalidation, new_rows
from app.services.price_stream import PriceStream, Subscription
from app.services.price_stream.subscription import MAX_QUEUED_NEWS
from tests.conftest import Servers
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
KEYS = [BTC, ETH]


class Feed:
    """A stream that looks for news when the test says so."""

    def __init__(self, database: Database, max_streams: int = 10) -> None:
        self._changed = asyncio.Event()
        self.stream = PriceStream(database, max_streams, self._changed)

    def look(self) -> None:
        self._changed.set()


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[Feed]:
    feed = Feed(database)
    following = asyncio.create_task(feed.stream.follow_forever())
    yield feed
    following.cancel()
    await asyncio.wait([following])
    await feed.stream.close()


@asynccontextmanager
async def _subscribed(
    feed: Feed, after: StreamPosition | None = None
) -> AsyncIterator[Subscription]:
    async with feed.stream.subscribe(KEYS, after) as subscription:
        yield subscription


async def _next(feed: Feed, subscription: Subscription) -> NewRows | Reset:
    """Return the next news that tell something."""
    while True:
        feed.look()
        news = await feed.stream.next_news(subscription)
        if isinstance(news, Reset) or (news is not None and news.rows):
            return news


async def _rows(feed: Feed, subscription: Subscription, count: int) -> list[tuple[str, int]]:
    """Return so many rows as ticker and slot, in the order in which they are told."""
    told: list[NewRow] = []
    async with asyncio.timeout(20):
        while len(told) < count:
            news = await _next(feed, subscription)
            assert isinstance(news, NewRows)
            told += news.rows
    return [(row.key.ticker, row.slot) for row in told]


async def _position(database: Database) -> StreamPosition:
    async with database.raw_connection() as connection:
        return await new_rows.read_current_position(connection)


async def test_new_rows_are_told_by_ticker_and_slot_with_their_digits(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    async with _subscribed(feed) as subscription:
        async with sql.transaction():
            await store(sql, [180], price="95123.4500", source="backfill")
            await store(sql, [120], ticker="eth_usd", price="0.000000000000000001")
            await store(sql, [120], source="import")
        news = await _next(feed, subscription)
        assert isinstance(news, NewRows)
        assert [(row.key.ticker, row.slot, row.price, row.source) for row in news.rows] == [
            ("btc_usd", 120, "60123.5", "import"),
            ("btc_usd", 180, "95123.4500", "backfill"),
            ("eth_usd", 120, "0.000000000000000001", "live"),
        ]


async def test_a_reader_that_comes_back_gets_what_it_missed(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    async with _subscribed(feed) as subscription:
        await store(sql, [60])
        await _rows(feed, subscription, 1)
    await store(sql, [120, 180])
    async with _subscribed(feed, subscription.position) as again:
        assert await _rows(feed, again, 2) == [("btc_usd", 120), ("btc_usd", 180)]
        await store(sql, [240])
        assert await _rows(feed, again, 1) == [("btc_usd", 240)]


async def test_a_reader_cut_off_within_a_batch_gets_the_rest_of_it(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    async with _subscribed(feed) as subscription:
        async with sql.transaction():
            await store(sql, [60, 120, 180])
            await store(sql, [60], ticker="eth_usd")
        news = await _next(feed, subscription)
    assert isinstance(news, NewRows)
    await store(sql, [30])
    everything = [("btc_usd", 60), ("btc_usd", 120), ("btc_usd", 180), ("eth_usd", 60)]
    for told, (_, position) in enumerate(news.rows_of(frozenset(KEYS)), 1):
        async with _subscribed(feed, position) as again:
            rest = await _rows(feed, again, 5 - told)
            assert rest == [*everything[told:], ("btc_usd", 30)]


async def test_a_transaction_that_commits_late_is_told_when_it_is_visible(
    feed: Feed, sql: asyncpg.Connection, servers: Servers, database_name: str
) -> None:
    slow = await asyncpg.connect(servers.plain_url(database_name))
    transaction = slow.transaction()
    await transaction.start()
    await store(slow, [60])  # writers of one hour wait for one another
    async with _subscribed(feed) as subscription:
        await store(sql, [7200])
        assert await _rows(feed, subscription, 1) == [("btc_usd", 7200)]
        await transaction.commit()
        assert await _rows(feed, subscription, 1) == [("btc_usd", 60)]
    await slow.close()


async def test_rows_of_a_savepoint_are_told_unless_it_is_rolled_back(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    async with _subscribed(feed) as subscription:
        async with sql.transaction():
            await sql.execute("SAVEPOINT kept")
            await store(sql, [60])
            await sql.execute("RELEASE SAVEPOINT kept; SAVEPOINT dropped")
            await store(sql, [120])
            await sql.execute("ROLLBACK TO SAVEPOINT dropped")
            await store(sql, [180])
        assert await _rows(feed, subscription, 2) == [("btc_usd", 60), ("btc_usd", 180)]


async def test_deleted_rows_tell_nothing_and_rows_that_were_added_again_are_told_once(
    feed: Feed, database: Database, sql: asyncpg.Connection
) -> None:
    start = await _position(database)
    await store(sql, [60, 120, 180])
    await sql.execute("DELETE FROM prices WHERE timestamp IN (60, 120)")
    await store(sql, [60], price="7")
    async with _subscribed(feed, start) as subscription:
        assert await _rows(feed, subscription, 2) == [("btc_usd", 60), ("btc_usd", 180)]
        await sql.execute("DELETE FROM prices")
        await store(sql, [240])
        assert await _rows(feed, subscription, 1) == [("btc_usd", 240)]


async def test_a_row_added_again_after_a_batch_is_told_with_its_later_batch_only(
    database: Database, sql: asyncpg.Connection
) -> None:
    start = await _position(database)
    await store(sql, [60, 120])
    middle = await _position(database)
    await sql.execute("DELETE FROM prices WHERE timestamp = 60")
    await store(sql, [60], price="7")
    async with database.raw_connection() as connection:
        news = await new_rows.read_news(connection, start, KEYS, 100, until=middle)
        assert isinstance(news, NewRows)
        assert [row.slot for row in news.rows] == [120]
        later = await new_rows.read_news(connection, middle, KEYS, 100)
        assert isinstance(later, NewRows)
        assert [(row.slot, row.price) for row in later.rows] == [(60, "7")]


async def test_a_live_price_that_was_marked_late_is_told_once_as_it_was_committed(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    async with _subscribed(feed) as subscription:
        async with sql.transaction():
            await store(sql, [60])
            await sql.execute("UPDATE prices SET source = 'backfill'")
        news = await _next(feed, subscription)
        assert isinstance(news, NewRows)
        assert [(row.slot, row.source) for row in news.rows] == [(60, "backfill")]


@pytest.mark.parametrize("rows", [2_500, 20_000])
async def test_a_huge_statement_is_read_page_by_page(
    feed: Feed, sql: asyncpg.Connection, rows: int
) -> None:
    async with _subscribed(feed) as follower:
        start = follower.position
        await sql.execute(
            "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source) "
            "SELECT 'deribit', 'btc_usd', 60 * n, n, 0, 'import' "
            "FROM generate_series($1::bigint, 1, -1) AS n",
            rows,
        )
        expected = [("btc_usd", 60 * n) for n in range(1, rows + 1)]
        assert await _rows(feed, follower, rows) == expected
    async with _subscribed(feed, start) as again:
        assert await _rows(feed, again, rows) == expected


async def test_a_reader_whose_queue_is_full_reads_the_same_rows_from_the_table(
    feed: Feed, sql: asyncpg.Connection
) -> None:
    slots = [60 * n for n in range(1, MAX_QUEUED_NEWS + 20)]
    async with _subscribed(feed) as idle, _subscribed(feed) as busy:
        for slot in slots:
            await store(sql, [slot])
            assert await _rows(feed, busy, 1) == [("btc_usd", slot)]
        assert not idle.is_following
        assert await _rows(feed, idle, len(slots)) == [("btc_usd", slot) for slot in slots]


@pytest.mark.parametrize("statement", ["TRUNCATE prices", "TRUNCATE recordings"])
async def test_emptied_tables_are_told_as_a_reset(
    feed: Feed, sql: asyncpg.Connection, statement: str
) -> None:
    await store(sql, [60])
    async with _subscribed(feed) as subscription:
        start = subscription.position
        await sql.execute(statement)
        await store(sql, [120, 600])
        news = await _next(feed, subscription)
        assert isinstance(news, Reset)
        first = 120 if statement == "TRUNCATE prices" else 60
        assert news.ranges == {BTC: (first, 600), ETH: (0, news.end.taken_at)}
        await store(sql, [660])
        assert await _rows(feed, subscription, 1) == [("btc_usd", 660)]
    async with _subscribed(feed, start) as again:
        assert isinstance(await _next(feed, again), Reset)


@pytest.mark.parametrize(
    "change",
    [
        {"numbering": "another"},
        {"taken_at": -3601},
        {"taken_at": 100},
        {"snapshot": "9000000:9000000:"},
    ],
    ids=["another database", "too old", "from the future", "taken back"],
)
async def test_a_position_that_can_not_be_resumed_is_told_what_to_read_again(
    feed: Feed, database: Database, sql: asyncpg.Connection, change: dict[str, object]
) -> None:
    await store(sql, [60, 6000])
    await store(sql, [120], ticker="eth_usd")
    now = await _position(database)
    if "taken_at" in change:
        change = {"taken_at": now.taken_at + int(str(change["taken_at"]))}
    async with _subscribed(feed, now._replace(**change)) as subscription:  # type: ignore[arg-type]  # as parametrized
        news = await _next(feed, subscription)
        assert isinstance(news, Reset)
        assert news.ranges == {BTC: (60, 6000), ETH: (120, 120)}


async def test_notes_stay_for_an_hour_after_their_transaction_however_long_it_took(
    feed: Feed, database: Database, sql: asyncpg.Connection, servers: Servers, database_name: str
) -> None:
    slow = await asyncpg.connect(servers.plain_url(database_name))
    transaction = slow.transaction()
    await transaction.start()
    await store(slow, [60])
    await store(sql, [7200])
    start = await _position(database)
    await transaction.commit()
    await sql.execute("UPDATE price_changes SET noted_at = now() - interval '2 hours'")
    async with database.transaction() as session:
        await cache_invalidation.prune_changes(session)
    async with _subscribed(feed, start) as subscription:
        assert await _rows(feed, subscription, 1) == [("btc_usd", 60)]
    await slow.close()


async def test_streams_are_bounded(database: Database) -> None:
    feed = Feed(database, max_streams=2)
    async with _subscribed(feed), _subscribed(feed):
        with pytest.raises(TooManyStreams):
            async with _subscribed(feed):
                pass
    async with _subscribed(feed), _subscribed(feed):
        pass
    await feed.stream.close()


async def test_nobody_holds_a_connection_while_waiting(feed: Feed, sql: asyncpg.Connection) -> None:
    async with _subscribed(feed) as one, _subscribed(feed) as other:
        waiting = [asyncio.create_task(_rows(feed, each, 1)) for each in (one, other)]
        await store(sql, [60])
        assert await asyncio.gather(*waiting) == [[("btc_usd", 60)]] * 2
        busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"  # noqa: E501  # one statement
        assert await sql.fetchval(busy) == 0
