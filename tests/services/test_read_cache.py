"""ReadCache: never beyond the truth, in bounded space, one state a page."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import asyncpg
import pytest

from app.core.errors import DatabaseUnavailable
from app.core.settings import Settings
from app.domain.chunk_cache import CHUNK_SECONDS, MAX_CHUNKS
from app.domain.encoded_rows import Column, EncodedPage, RowTemplate
from app.domain.prices import UNBOUNDED, Order, TickerKey, TimeRange
from app.postgres.database import Database
from app.postgres.notifications import listen_forever
from app.repositories import cache_invalidation, encoded_rows
from app.repositories.cache_invalidation import CHANNEL
from app.services.reader.cache import ReadCache
from tests.conftest import Servers
from tests.postgres.restartable_servers import migrate, restartable_postgres
from tests.repositories.rows import store
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
TEMPLATE = RowTemplate((Column.TIMESTAMP, "=", Column.PRICE), separator=";")
MEGABYTE = 1_000_000
_SHIFTED_CLOCK = """
CREATE FUNCTION shifted.{clock}() RETURNS timestamptz LANGUAGE sql STABLE AS
'SELECT pg_catalog.{clock}() + make_interval(secs => seconds) FROM shifted.by'
"""


@pytest.fixture
async def cache(database: Database) -> ReadCache:
    return ReadCache(database, TEMPLATE, MEGABYTE)


@asynccontextmanager
async def _refreshing(cache: ReadCache, url: str | None) -> AsyncIterator[None]:
    """Keep a cache up to date by polling, and by notifications if a database URL is given."""
    notified = asyncio.Event()
    tasks = [asyncio.create_task(cache.refresh_forever(notified))]
    if url is not None:
        tasks.append(asyncio.create_task(listen_forever(url, CHANNEL, notified.set)))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _page_text(page: EncodedPage | None) -> str:
    assert page is not None
    return b";".join(page.pieces).decode()


def _expected_text(slots: Iterable[int], price: str = "60123.5") -> str:
    return ";".join(f"{slot}={price}" for slot in slots)


async def test_what_was_read_is_known_without_asking_for_it_again(
    cache: ReadCache, sql: asyncpg.Connection, statements: list[str]
) -> None:
    slots = range(0, 3 * CHUNK_SECONDS, 600)
    await store(sql, slots)
    span = TimeRange(1, 2 * CHUNK_SECONDS + 1800)
    assert cache.cached_page(BTC, span, 1000) is None
    expected = _expected_text(slot for slot in slots if 1 <= slot <= 2 * CHUNK_SECONDS + 1800)
    assert _page_text(await cache.read_page(BTC, span, Order.ASC, 1000)) == expected
    statements.clear()
    assert _page_text(cache.cached_page(BTC, span, 1000)) == expected
    part = cache.cached_page(BTC, TimeRange(CHUNK_SECONDS - 600, CHUNK_SECONDS + 600), 2)
    assert _page_text(part) == _expected_text([CHUNK_SECONDS - 600, CHUNK_SECONDS])
    assert part is not None
    assert (part.count, part.last, part.has_more) == (2, CHUNK_SECONDS, True)
    assert statements == []


async def test_newest_price_is_known_without_asking_again(
    cache: ReadCache, sql: asyncpg.Connection, statements: list[str]
) -> None:
    await store(sql, [60, 120])
    await cache.refresh()
    assert cache.cached_newest(BTC) is None
    await cache.read_newest(BTC)
    statements.clear()
    newest = cache.cached_newest(BTC)
    assert newest is not None
    assert newest.slot == 120
    assert await cache.read_newest(BTC) is newest
    assert statements == []


async def test_nothing_is_remembered_of_tickers_that_there_are_not(cache: ReadCache) -> None:
    """Or whoever invents names would fill the cache."""
    await cache.refresh()
    for number in range(50):
        assert await cache.read_newest(TickerKey("deribit", f"t{number}")) is None
    assert cache._states == {}


async def test_change_is_forgotten_and_the_rest_is_kept(
    cache: ReadCache, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, CHUNK_SECONDS])
    await store(sql, [60], ticker="eth_usd")
    whole, first = TimeRange(0, 2 * CHUNK_SECONDS - 1), TimeRange(0, CHUNK_SECONDS - 1)
    for key in (BTC, ETH):
        await cache.read_page(key, whole, Order.ASC, 10)
        await cache.read_newest(key)
    await store(sql, [CHUNK_SECONDS + 60])
    await cache.refresh()
    assert cache.cached_page(BTC, whole, 10) is None
    newest = cache.cached_newest(BTC)
    assert newest is not None
    assert newest.slot == CHUNK_SECONDS + 60
    assert _page_text(cache.cached_page(BTC, first, 10)) == _expected_text([60])
    assert cache.cached_page(ETH, whole, 10) is not None
    expected = _expected_text([60, CHUNK_SECONDS, CHUNK_SECONDS + 60])
    assert _page_text(await cache.read_page(BTC, whole, Order.ASC, 10)) == expected
    await sql.execute("TRUNCATE prices")
    await cache.refresh()
    assert cache.cached_page(ETH, whole, 10) is None


@pytest.mark.parametrize("notified", [True, False])
async def test_write_is_seen_within_a_second(
    cache: ReadCache,
    sql: asyncpg.Connection,
    servers: Servers,
    database_name: str,
    *,
    notified: bool,
) -> None:
    """With the channel cut, the question twice a second is enough."""
    span = TimeRange(0, CHUNK_SECONDS - 1)
    async with _refreshing(cache, servers.database_url(database_name) if notified else None):
        await cache.read_page(BTC, span, Order.ASC, 10)
        for slot in range(0, 300, 60):
            await store(sql, [slot])
            written_at = asyncio.get_running_loop().time()

            async def seen(slot: int = slot) -> bool:
                return f"{slot}=" in _page_text(await cache.read_page(BTC, span, Order.ASC, 10))

            await until(seen)
            assert asyncio.get_running_loop().time() - written_at < 1


async def test_cache_is_not_trusted_when_the_database_can_not_be_asked(
    settings: Settings, directory: Path, tmp_path: Path
) -> None:
    span, folder = TimeRange(0, 60), directory / tmp_path.name
    folder.mkdir(mode=0o755)
    async with restartable_postgres(folder) as postgres:
        await migrate(postgres, settings, tmp_path)
        database = Database(postgres.url, pool_size=2)
        writer = await asyncpg.connect(postgres.url.replace("+asyncpg", ""))
        await store(writer, [60])
        await writer.close()
        cache = ReadCache(database, TEMPLATE, MEGABYTE)
        async with _refreshing(cache, postgres.url):
            await cache.read_page(BTC, span, Order.ASC, 10)
            assert cache.cached_page(BTC, span, 10) is not None
            await postgres.stop()
            await until(lambda: _is_cached(cache, span, expected=False))
            with pytest.raises(DatabaseUnavailable):
                await cache.read_page(BTC, span, Order.ASC, 10)
            await postgres.start()
            await until(lambda: _is_cached(cache, span, expected=True))
        await database.close()


async def _is_cached(cache: ReadCache, span: TimeRange, *, expected: bool) -> bool:
    if expected:
        with suppress(DatabaseUnavailable):
            await cache.read_page(BTC, span, Order.ASC, 10)
    return (cache.cached_page(BTC, span, 10) is not None) is expected


async def test_space_is_bounded_and_the_least_used_goes_first(
    database: Database, sql: asyncpg.Connection
) -> None:
    cache = ReadCache(database, TEMPLATE, 25_000)
    for chunk in range(60):
        await store(sql, range(chunk * CHUNK_SECONDS, (chunk + 1) * CHUNK_SECONDS, 300))
    for chunk in range(60):
        await cache.read_page(BTC, _chunk(chunk), Order.ASC, 100)
        assert cache.cached_page(BTC, _chunk(0), 100) is not None
    cached_chunks = [chunk for chunk in range(60) if cache.cached_page(BTC, _chunk(chunk), 100)]
    assert cached_chunks[0] == 0
    assert cached_chunks[-1] == 59
    assert 13 < len(cached_chunks) < 25


def _chunk(number: int) -> TimeRange:
    return TimeRange(number * CHUNK_SECONDS, (number + 1) * CHUNK_SECONDS - 1)


async def test_long_or_open_spans_are_not_for_the_cache(cache: ReadCache) -> None:
    for span in (
        TimeRange(),
        TimeRange(0),
        TimeRange(None, 60),
        TimeRange(0, MAX_CHUNKS * CHUNK_SECONDS),
    ):
        assert await cache.read_page(BTC, span, Order.ASC, 10) is None


async def test_however_many_wait_the_database_is_asked_once(
    cache: ReadCache, sql: asyncpg.Connection, statements: list[str]
) -> None:
    await store(sql, range(0, 3 * CHUNK_SECONDS, 600))
    span = TimeRange(0, 3 * CHUNK_SECONDS - 1)
    newest = await asyncio.gather(*(cache.read_newest(BTC) for _ in range(50)))
    assert {price and price.slot for price in newest} == {3 * CHUNK_SECONDS - 600}
    pages = await asyncio.gather(*(cache.read_page(BTC, span, Order.ASC, 1000) for _ in range(50)))
    lists = await asyncio.gather(
        *(cache.read_page(BTC, UNBOUNDED, Order.DESC, 20) for _ in range(50))
    )
    assert (
        len({_page_text(page) for page in pages}) == len({_page_text(page) for page in lists}) == 1
    )
    read = [statement for statement in statements if "price_changes" not in statement]
    assert len([statement for statement in read if "string_agg" in statement]) == 1
    assert len([statement for statement in read if "promised" in statement]) == 1
    snapshot_reads = [statement for statement in statements if "pg_current_snapshot" in statement]
    assert len(snapshot_reads) <= 4  # before each of the three reads, and after two of them


async def test_those_who_wait_share_what_fails(
    servers: Servers, cache: ReadCache, sql: asyncpg.Connection
) -> None:
    """And who asks afterwards is not notified of it."""
    missing_database = Database(servers.database_url("nowhere"), pool_size=5)
    broken_cache = ReadCache(missing_database, TEMPLATE, MEGABYTE)
    found = await asyncio.gather(
        *(broken_cache.read_newest(BTC) for _ in range(20)), return_exceptions=True
    )
    assert {type(error) for error in found} == {DatabaseUnavailable}
    await missing_database.close()
    broken_cache._database = cache._database
    await store(sql, [60])
    assert await broken_cache.read_newest(BTC) is not None


async def test_reader_that_goes_away_leaves_the_others_waiting(
    cache: ReadCache, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    first, second = (asyncio.create_task(cache.read_newest(BTC)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert first.cancelled()


async def test_question_gets_through_while_every_connection_is_in_use(
    cache: ReadCache, database: Database
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(database.raw_connection())
        waiting = asyncio.create_task(cache.read_newest(BTC))
        await cache.refresh()
        assert cache.is_fresh
    assert await waiting is None


async def test_newest_price_is_known_at_once_after_a_write(
    cache: ReadCache, sql: asyncpg.Connection, statements: list[str]
) -> None:
    """The question what changed brings it, so that nobody waits for it."""
    await store(sql, [60])
    await cache.read_newest(BTC)
    await store(sql, [120])
    statements.clear()
    await cache.refresh()
    newest = cache.cached_newest(BTC)
    assert newest is not None
    assert newest.slot == 120
    assert len([statement for statement in statements if "prices" in statement]) == 1
    await sql.execute("DELETE FROM prices")
    await cache.refresh()
    assert cache.cached_newest(BTC) is None
    assert await cache.read_newest(BTC) is None


@pytest.mark.parametrize("limit", [1, 2, 7, 13, 40, 100])
async def test_newest_lines_are_the_end_of_the_table_backwards(
    cache: ReadCache, database: Database, sql: asyncpg.Connection, limit: int
) -> None:
    random = Random(limit)  # noqa: S311  # a reproducible case, no secret
    slots = sorted(random.sample(range(0, 12 * CHUNK_SECONDS, 60), 41))
    await store(sql, slots)
    for _ in range(3):
        found = await cache.read_page(BTC, UNBOUNDED, Order.DESC, limit)
        assert found is not None
        async with database.raw_connection() as connection:
            page = await encoded_rows.read_page(
                connection, BTC, TimeRange(), Order.DESC, limit, template=TEMPLATE
            )
        assert _page_text(found) == _page_text(page)
        assert (found.count, found.last, found.has_more) == (page.count, page.last, page.has_more)
        await sql.execute("DELETE FROM prices WHERE timestamp IN ($1, $2)", slots.pop(), slots[3])
        await cache.refresh()


async def test_newest_lines_that_lie_far_apart_are_not_for_the_cache(
    cache: ReadCache, database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 900 * CHUNK_SECONDS, 30 * CHUNK_SECONDS))
    assert await cache.read_page(BTC, UNBOUNDED, Order.DESC, 20) is None
    assert await ReadCache(database, TEMPLATE, 0).read_page(BTC, UNBOUNDED, Order.DESC, 1) is None


async def test_cache_is_dropped_when_changes_may_have_been_thrown_away(
    database: Database, sql: asyncpg.Connection, database_name: str
) -> None:
    """A host that slept does not know how long; others went on, and the changes are gone."""
    await _shift_the_clock(sql, database_name)
    cache = ReadCache(database, TEMPLATE, MEGABYTE, clock=lambda: 0.0)  # it stands still
    await store(sql, [60, 120])
    await cache.read_page(BTC, TimeRange(0, 600), Order.ASC, 10)
    await store(sql, [180])
    await sql.execute("UPDATE shifted.by SET seconds = 3601")
    async with database.transaction() as session:
        await cache_invalidation.prune_changes(session)
    assert await sql.fetchval("SELECT array_agg(first_slot) FROM price_changes") == [180]
    await sql.execute("DELETE FROM price_changes")
    await cache._refresh()
    assert cache.cached_page(BTC, TimeRange(0, 600), 10) is None
    assert _page_text(
        await cache.read_page(BTC, TimeRange(0, 600), Order.ASC, 10)
    ) == _expected_text([60, 120, 180])


async def _shift_the_clock(sql: asyncpg.Connection, database_name: str) -> None:
    """Let connections that come see the server's clock so far ahead as a table says."""
    await sql.execute(
        "CREATE SCHEMA shifted; CREATE TABLE shifted.by (seconds) AS SELECT 0.0::float8"
    )
    for clock in ("now", "statement_timestamp", "clock_timestamp"):
        await sql.execute(_SHIFTED_CLOCK.format(clock=clock))
    await sql.execute(
        f'ALTER DATABASE "{database_name}" SET search_path = shifted, pg_catalog, public'
    )


async def test_cache_is_not_trusted_after_its_machine_slept(
    database: Database, sql: asyncpg.Connection
) -> None:
    now = 0.0
    cache = ReadCache(database, TEMPLATE, MEGABYTE, clock=lambda: now)
    await store(sql, [60])
    await cache.read_newest(BTC)
    assert cache.cached_newest(BTC) is not None
    now += 3600
    assert cache.cached_newest(BTC) is None


async def test_page_shows_one_state_under_writers_at_full_speed(
    cache: ReadCache, servers: Servers, database_name: str
) -> None:
    """Each transaction writes one price to slots of several chunks: a page must show one price."""
    slots = [number * CHUNK_SECONDS for number in range(4)]
    span = TimeRange(0, 4 * CHUNK_SECONDS - 1)
    writer = await asyncpg.connect(servers.plain_url(database_name))
    await store(writer, slots, price="0.5")
    committed = [0.5]

    async def write() -> None:
        for number in range(1, 400):
            await writer.execute("UPDATE prices SET price = $1::int", number)
            committed.append(number)

    random = Random(5)  # noqa: S311  # a reproducible case, no secret
    async with _refreshing(cache, servers.database_url(database_name)):
        writing = asyncio.create_task(write())
        while not writing.done():
            page = await cache.read_page(BTC, span, Order.ASC, 10)
            if page is not None:
                shown = {float(line.partition("=")[2]) for line in _page_text(page).split(";")}
                assert len(shown) == 1
                assert shown <= {*committed, committed[-1] + 1}
            await asyncio.sleep(random.random() / 200)
    await writer.close()
