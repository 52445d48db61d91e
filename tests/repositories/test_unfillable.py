"""What the exchange could not give, as the database remembers it."""

from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import unfillable

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
COARSE, BEFORE = Reason.CHART_TOO_COARSE, Reason.BEFORE_CHART


def _gap(first: int, last: int, reason: Reason | None = COARSE) -> Gap:
    return Gap(Slot(first), Slot(last), 60, reason)


async def _upsert(database: Database, *gaps: Gap, key: TickerKey = BTC) -> None:
    async with database.transaction() as session:
        await unfillable.upsert(session, key, gaps)


async def _read(database: Database, span: TimeRange | None = None) -> list[Gap]:
    async with database.read_committed() as session:
        found = await unfillable.read_overlapping(session, [BTC], span or TimeRange())
    return found.get(BTC, [])


async def test_remembered_runs_are_read_back_in_order(database: Database) -> None:
    await _upsert(database, _gap(600, 720, BEFORE), _gap(1200, 1200))
    await _upsert(database, _gap(0, 60))
    await _upsert(database, _gap(0, 6000), key=ETH)
    assert await _read(database) == [_gap(0, 60), _gap(600, 720, BEFORE), _gap(1200, 1200)]


async def test_span_finds_runs_that_reach_into_it(database: Database) -> None:
    await _upsert(database, _gap(0, 60), _gap(600, 720), _gap(1200, 1200))
    assert await _read(database, TimeRange(60, 700)) == [_gap(0, 60), _gap(600, 720)]
    assert await _read(database, TimeRange(721, 1199)) == []


async def test_new_answer_replaces_the_slots_that_it_speaks_of(database: Database) -> None:
    await _upsert(database, _gap(0, 600))
    await _upsert(database, _gap(120, 180, BEFORE))
    assert await _read(database) == [_gap(0, 60), _gap(120, 180, BEFORE), _gap(240, 600)]


async def test_forgotten_slots_are_cut_out(database: Database) -> None:
    await _upsert(database, _gap(0, 600))
    async with database.transaction() as session:
        await unfillable.delete_slots(session, BTC, [_gap(60, 60, None), _gap(300, 900, None)])
    assert await _read(database) == [_gap(0, 0), _gap(120, 240)]
    await _upsert(database)
    async with database.transaction() as session:
        await unfillable.delete_slots(session, BTC, [])
    assert await _read(database) == [_gap(0, 0), _gap(120, 240)]
