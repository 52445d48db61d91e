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
from tests.services.price_gaps import backfilled_slots, store_with_gaps, unfillable_reasons

BTC = TickerKey("deribit", "btc_usd")
MISSING = range(20, 25)
HOUR = 60
"""In slots of a minute."""


@dataclass
class PartialChartExchange:
    """An exchange whose charts lack some points."""

    client: Client
    lacks_point: Callable[[int], bool] = lambda _: False
    requested_ranges: list[str] = field(default_factory=list)

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
        self.requested_ranges.append(chart_range.name)
        chart = await self.client.fetch_chart(ticker, chart_range)
        points = zip(chart.timestamps_us, chart.prices, strict=True)
        kept = [point for point in points if not self.lacks_point(point[0] // MICROSECONDS)]
        timestamps, values = zip(*kept, strict=True) if kept else ((), ())
        return replace(chart, timestamps_us=timestamps, prices=values)


@pytest.fixture
async def partial_exchange(runtime: Runtime) -> PartialChartExchange:
    return PartialChartExchange(runtime.exchanges["deribit"])


@pytest.fixture
async def repair(runtime: Runtime, partial_exchange: PartialChartExchange) -> RepairService:
    return RepairService(
        runtime.database, {"deribit": partial_exchange}, [BTC], 60, 48, runtime.repair_queue
    )


async def end_pauses(sql: asyncpg.Connection) -> None:
    """End the pause before every retry."""
    await sql.execute("UPDATE repair_retries SET next_us = 0")


async def missing_reasons(runtime: Runtime) -> set[str]:
    (coverage,) = await runtime.coverage.measure(RepairRequest().span, [BTC])
    return set(coverage.missing_by_reason())


@pytest.mark.parametrize("is_hole", [False, True], ids=["begins late", "has a hole"])
async def test_what_a_partial_chart_lacks_stays_pending_and_is_filled_when_it_is_whole(  # noqa: PLR0913, PLR0917
    runtime: Runtime,
    repair: RepairService,
    partial_exchange: PartialChartExchange,
    exchange: Exchange,
    sql: asyncpg.Connection,
    is_hole: bool,  # noqa: FBT001  # a case
) -> None:
    newest = await store_with_gaps(sql, exchange, MISSING)
    missing_from = newest - 60 * 40 if is_hole else 0
    partial_exchange.lacks_point = lambda second: missing_from <= second <= newest - 60 * 15
    assert await repair.run_scheduled() == RepairResult(remaining=5)
    assert await unfillable_reasons(sql) == {}
    assert await missing_reasons(runtime) == {"pending"}
    partial_exchange.lacks_point = lambda _: False
    await end_pauses(sql)
    assert await repair.run_scheduled() == RepairResult(filled=5)
    assert len(await backfilled_slots(sql)) == 5
    assert not await sql.fetchval("SELECT count(*) FROM repair_retries")


async def test_pauses_grow_and_are_kept_in_the_database(
    runtime: Runtime,
    repair: RepairService,
    partial_exchange: PartialChartExchange,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    await store_with_gaps(sql, exchange, MISSING)
    partial_exchange.lacks_point = lambda _: True
    pauses: list[float] = []
    for attempt in range(1, 5):
        await end_pauses(sql)
        await repair.run_scheduled()
        requested_ranges = len(partial_exchange.requested_ranges)
        restarted = RepairService(
            runtime.database, {"deribit": partial_exchange}, [BTC], 60, 48, runtime.repair_queue
        )
        assert await restarted.run_scheduled() == RepairResult(remaining=5)
        assert len(partial_exchange.requested_ranges) == requested_ranges, (
            "the pause is kept after a restart"
        )
        (row,) = await sql.fetch(
            "SELECT tries, next_us - extract(epoch FROM now()) * 1000000 AS pause_us"
            " FROM repair_retries"
        )
        assert row["tries"] == attempt
        pauses.append(float(row["pause_us"]))
    assert all(later > earlier * 3 / 2 for earlier, later in pairwise(pauses))


async def test_repair_by_hand_asks_at_once(
    repair: RepairService,
    partial_exchange: PartialChartExchange,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    await store_with_gaps(sql, exchange, MISSING)
    partial_exchange.lacks_point = lambda _: True
    await repair.run_scheduled()
    partial_exchange.lacks_point = lambda _: False
    assert await repair.run_requested(RepairRequest()) == RepairResult(filled=5)


async def test_what_left_the_reach_is_given_up_for_what_the_finer_chart_lacked(
    repair: RepairService, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    missing = range(26 * HOUR, 26 * HOUR + 10)
    newest = await store_with_gaps(sql, exchange, missing, seconds=28 * 3_600)
    slots = sorted(newest - 60 * distance for distance in missing)
    await sql.execute(
        "INSERT INTO repair_retries VALUES ('deribit', 'btc_usd', $1, $2, 60, 9, 0, $3)",
        slots[0],
        slots[5],
        "chart_has_no_point",
    )
    assert await repair.run_scheduled() == RepairResult(filled=2, unfillable=8)
    assert await unfillable_reasons(sql) == {
        slot: "chart_has_no_point" if slot <= slots[5] else "chart_too_coarse"
        for slot in slots
        if slot % 300
    }


async def test_hole_in_a_coarse_chart_is_believed_in_the_end(
    repair: RepairService,
    partial_exchange: PartialChartExchange,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    newest = await store_with_gaps(
        sql, exchange, range(26 * HOUR, 26 * HOUR + 10), seconds=28 * 3_600
    )
    partial_exchange.lacks_point = lambda second: newest - 30 * 3_600 < second < newest - 3_600
    for _ in range(4):
        assert await repair.run_scheduled() == RepairResult(remaining=10)
        await end_pauses(sql)
    assert (await repair.run_scheduled()).unfillable == 10


async def test_forced_repair_takes_a_false_reason_back(
    runtime: Runtime,
    repair: RepairService,
    partial_exchange: PartialChartExchange,
    exchange: Exchange,
    sql: asyncpg.Connection,
) -> None:
    newest = await store_with_gaps(sql, exchange, MISSING)
    slots = sorted(newest - 60 * distance for distance in MISSING)
    await sql.execute(
        "INSERT INTO unfillable VALUES ('deribit', 'btc_usd', $1, $2, 60, 'chart_too_coarse')",
        slots[0],
        slots[-1],
    )
    partial_exchange.lacks_point = lambda _: True
    assert await repair.run_requested(RepairRequest(force=True), seconds=2) == RepairResult(
        remaining=5
    )
    assert await missing_reasons(runtime) == {"pending"}
    partial_exchange.lacks_point = lambda _: False
    await end_pauses(sql)
    assert await repair.run_scheduled() == RepairResult(filled=5)
