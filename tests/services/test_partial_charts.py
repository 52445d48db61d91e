"""Charts that are partial for a while: what they may still give is asked for again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import asyncpg
import pytest

from app.clients.base import Exchange as Client
from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote, TickerKey
from app.domain.repairs import RepairRequest, RepairResult
from app.domain.slots import MICROSECONDS
from app.runtime import Runtime
from app.services.repair import RepairService
from app.simulator import Exchange
from tests.services.outages import backfilled, given_up, record

BTC = TickerKey("deribit", "btc_usd")
LOST = range(20, 25)
HOUR = 60
"""In slots of a minute."""


@dataclass
class Partial:
    """An exchange whose charts lack some points."""

    client: Client
    lacks: Callable[[int], bool] = lambda _: False
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def chart_ranges(self) -> Sequence[ChartRange]:
        return self.client.chart_ranges

    async def fetch_index_price(self, ticker: str) -> Quote:
        return await self.client.fetch_index_price(ticker)

    async def fetch_index_names(self) -> frozenset[str]:
        return await self.client.fetch_index_names()

    async def fetch_chart(self, ticker: str, chart_range: ChartRange) -> Chart:
        self.asked.append(chart_range.name)
        chart = await self.client.fetch_chart(ticker, chart_range)
        points = zip(chart.timestamps_us, chart.prices, strict=True)
        kept = [point for point in points if not self.lacks(point[0] // MICROSECONDS)]
        stamps, values = zip(*kept, strict=True) if kept else ((), ())
        return replace(chart, timestamps_us=stamps, prices=values)


@pytest.fixture
async def partial(runtime: Runtime) -> Partial:
    return Partial(runtime.exchanges["deribit"])


@pytest.fixture
async def repair(runtime: Runtime, partial: Partial) -> RepairService:
    return RepairService(
        runtime.database, {"deribit": partial}, [BTC], 60, 48, runtime.repair_queue
    )


async def due_now(sql: asyncpg.Connection) -> None:
    """Let every pause be over."""
    await sql.execute("UPDATE repair_retries SET next_us = 0")


async def reasons(runtime: Runtime) -> set[str]:
    (found,) = await runtime.coverage.measure(RepairRequest().span, [BTC])
    return set(found.missing_by_reason())


@pytest.mark.parametrize("is_hole", [False, True], ids=["begins late", "has a hole"])
async def test_what_a_partial_chart_lacks_stays_pending_and_is_filled_when_it_is_whole(  # noqa: PLR0913, PLR0917
    runtime: Runtime,
    repair: RepairService,
    partial: Partial,
    exchange: Exchange,
    sql: asyncpg.Connection,
    is_hole: bool,  # noqa: FBT001  # a case
) -> None:
    newest = await record(sql, exchange, LOST)
    since = newest - 60 * 40 if is_hole else 0
    partial.lacks = lambda second: since <= second <= newest - 60 * 15
    assert await repair.run_scheduled() == RepairResult(remaining=5)
    assert await given_up(sql) == {}
    assert await reasons(runtime) == {"pending"}
    partial.lacks = lambda _: False
    await due_now(sql)
    assert await repair.run_scheduled() == RepairResult(filled=5)
    assert len(await backfilled(sql)) == 5
    assert not await sql.fetchval("SELECT count(*) FROM repair_retries")


async def test_pauses_grow_and_are_kept_in_the_database(
    runtime: Runtime,
    repair: RepairService,
    partial: Partial,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    await record(sql, exchange, LOST)
    partial.lacks = lambda _: True
    pauses: list[float] = []
    for tries in range(1, 5):
        await due_now(sql)
        await repair.run_scheduled()
        asked = len(partial.asked)
        again = RepairService(
            runtime.database, {"deribit": partial}, [BTC], 60, 48, runtime.repair_queue
        )
        assert await again.run_scheduled() == RepairResult(remaining=5)
        assert len(partial.asked) == asked, "the pause is kept after a restart"
        (row,) = await sql.fetch(
            "SELECT tries, next_us - extract(epoch FROM now()) * 1000000 AS pause_us"
            " FROM repair_retries"
        )
        assert row["tries"] == tries
        pauses.append(float(row["pause_us"]))
    assert all(later > earlier * 3 / 2 for earlier, later in pairwise(pauses))


async def test_repair_by_hand_asks_at_once(
    repair: RepairService, partial: Partial, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await record(sql, exchange, LOST)
    partial.lacks = lambda _: True
    await repair.run_scheduled()
    partial.lacks = lambda _: False
    assert await repair.run_requested(RepairRequest()) == RepairResult(filled=5)


async def test_what_left_the_reach_is_given_up_for_what_the_finer_chart_lacked(
    repair: RepairService, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    lost = range(26 * HOUR, 26 * HOUR + 10)
    newest = await record(sql, exchange, lost, seconds=28 * 3_600)
    slots = sorted(newest - 60 * distance for distance in lost)
    await sql.execute(
        "INSERT INTO repair_retries VALUES ('deribit', 'btc_usd', $1, $2, 60, 9, 0, $3)",
        slots[0],
        slots[5],
        "chart_has_no_point",
    )
    assert await repair.run_scheduled() == RepairResult(filled=2, unfillable=8)
    assert await given_up(sql) == {
        slot: "chart_has_no_point" if slot <= slots[5] else "chart_too_coarse"
        for slot in slots
        if slot % 300
    }


async def test_hole_in_a_coarse_chart_is_believed_in_the_end(
    repair: RepairService, partial: Partial, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await record(sql, exchange, range(26 * HOUR, 26 * HOUR + 10), seconds=28 * 3_600)
    partial.lacks = lambda second: newest - 30 * 3_600 < second < newest - 3_600
    for _ in range(4):
        assert await repair.run_scheduled() == RepairResult(remaining=10)
        await due_now(sql)
    assert (await repair.run_scheduled()).unfillable == 10


async def test_forced_repair_takes_a_false_reason_back(
    runtime: Runtime,
    repair: RepairService,
    partial: Partial,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    newest = await record(sql, exchange, LOST)
    slots = sorted(newest - 60 * distance for distance in LOST)
    await sql.execute(
        "INSERT INTO unfillable VALUES ('deribit', 'btc_usd', $1, $2, 60, 'chart_too_coarse')",
        slots[0],
        slots[-1],
    )
    partial.lacks = lambda _: True
    assert await repair.run_requested(RepairRequest(force=True), seconds=2) == RepairResult(
        remaining=5
    )
    assert await reasons(runtime) == {"pending"}
    partial.lacks = lambda _: False
    await due_now(sql)
    assert await repair.run_scheduled() == RepairResult(filled=5)
