"""Repair: what was missed is filled from the exchange's charts, or accounted for.

Gaps are found in the database, so a repair that is killed loses nothing but what it had not stored.
Each answer of the exchange is one chunk, in a transaction of its own. docs/repair.md tells what can
be had, docs/adr/0011 why it is done so.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import structlog

from app.clients import Exchange
from app.core.errors import AppError, RepairRunning, StampRefused, TickerNotFound
from app.core.metrics import ROWS_STORED, SLOTS_UNFILLABLE, count
from app.core.retry import Patience
from app.db.session import Database
from app.domain.charts import Chart, ChartRange, Filling, fill, within_reach
from app.domain.gaps import Gap, count_slots, with_reasons, without
from app.domain.prices import Price, Source, Span, TickerKey
from app.domain.repairs import Missing, Progress, Repaired, Tell, Wish
from app.domain.slots import MICROSECONDS, is_plausible, present_of, window_seconds
from app.repositories import gaps, prices, recordings, unfillable

ASKED_SECONDS = 120.0
"""How long a repair that someone asked for works; what it leaves is found again."""
TROUBLE_SECONDS = 20.0
"""How long one that someone asked for persists where a step fails: it keeps others waiting."""
SHORTEST_WINDOW_SECONDS = 0.5
"""With less, an exchange on another continent could never be asked."""
ROWS_AT_ONCE = 5_000
SECONDS_PER_HOUR = 3_600
LOCK = "prices:repair"

T = TypeVar("T")

log = structlog.get_logger(__name__)


def _silence(_: Progress) -> None:
    """Tell nobody."""


class Repair:
    """Repairs what the recordings promise; a process has one."""

    def __init__(
        self,
        database: Database,
        exchanges: Mapping[str, Exchange],
        keys: Sequence[TickerKey],
        interval_seconds: int,
        lookback_hours: int,
    ) -> None:
        self._database = database
        self._exchanges = exchanges
        self._keys = keys
        self._interval_seconds = interval_seconds
        self._lookback_hours = lookback_hours

    async def wake(self) -> Repaired:
        """Repair the last hours for as long as live collection can spare this process.

        While another repair is under way, there is nothing to do.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        seconds = max(SHORTEST_WINDOW_SECONDS, window_seconds(self._interval_seconds))
        async with self._database.try_lock(LOCK) as held:
            if not held:
                return Repaired()
            missing = await self._look(Wish(), self._lookback_hours)
            return await self._fill(missing, _Pace(seconds, retries=False))

    async def carry_out(
        self, wish: Wish, *, seconds: float = ASKED_SECONDS, tell: Tell = _silence
    ) -> Repaired:
        """Repair what someone asked for, trying for so long; `tell` hears of every chunk.

        Raises:
            TickerNotFound: no ticker is meant that could be repaired.
            DatabaseUnavailable: PostgreSQL stayed away.
            RepairRunning: another repair did not end.
        """
        pace = _Pace(seconds, retries=True)

        async def attempt() -> Repaired:
            async with self._database.try_lock(LOCK) as held:
                if not held:
                    raise RepairRunning("another repair is under way")
                return await self._fill(await self._look(wish), pace, tell)

        await self.require_known(wish)
        return await pace.patience.persist(attempt)

    async def require_known(self, wish: Wish) -> None:
        """Make sure that a wish means something.

        Raises:
            TickerNotFound: no ticker is meant that could be repaired.
        """
        known = await self._known()
        if (wish.exchange or wish.ticker) and not any(map(wish.covers, known)):
            wanted = f"{wish.exchange or '*'}:{wish.ticker or '*'}"
            names = ", ".join(sorted(map(str, known)))
            raise TickerNotFound(f"no ticker {wanted} can be repaired; known are {names}")

    async def _known(self) -> set[TickerKey]:
        async with self._database.read() as session:
            recorded = await recordings.newest(session)
        return {key for key in {*recorded, *self._keys} if key.exchange in self._exchanges}

    async def _look(self, wish: Wish, lookback_hours: int | None = None) -> Missing:
        """Find what is missing, and what of it the exchange could not give."""
        keys = [key for key in await self._known() if wish.covers(key)]
        async with self._database.read() as session:
            database_us, edges = await prices.live_edges(session, keys)
            presents = {key: present_of(edges.get(key), database_us) for key in keys}
            span = wish.span
            if lookback_hours is not None:
                span = Span(database_us // MICROSECONDS - lookback_hours * SECONDS_PER_HOUR)
            found = await gaps.find(session, presents, span)
            known = {} if wish.force else await unfillable.between(session, found, span)
        return Missing(
            {key: with_reasons(of_key, known.get(key, [])) for key, of_key in found.items()},
            presents,
            database_us,
            forced=wish.force,
        )

    async def _fill(self, missing: Missing, pace: "_Pace", tell: Tell = _silence) -> Repaired:
        work = _Work(self._database, missing, pace, _Board(missing.total, tell))
        repairs = [_TickerRepair(key, self._exchanges[key.exchange], work) for key in missing.open]
        async with asyncio.TaskGroup() as group:
            for repair in repairs:
                group.create_task(repair.run())
        return _sum_up(missing, repairs)


class _Pace:
    """How long a repair may work, and whether it tries again what failed."""

    def __init__(self, seconds: float, *, retries: bool) -> None:
        self.until = asyncio.get_running_loop().time() + seconds
        self.patience = Patience(seconds if retries else 0, first_wait=0.25, longest_wait=5)
        self._trouble_seconds = min(seconds / 2, TROUBLE_SECONDS) if retries else 0

    def for_a_step(self) -> Patience:
        """Give the patience for one question, or one transaction."""
        return Patience(self._trouble_seconds, first_wait=0.25, longest_wait=5)


class _Board:
    """Keeps the count of all tickers' slots, and tells of each chunk."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._total = total
        self._done = 0
        self._tell = tell
        tell(Progress(total, 0))

    def note(self, key: TickerKey, chart: str, filling: Filling) -> None:
        """Tell of a chunk that was stored."""
        filled, unfillable = len(filling.prices), count_slots(filling.refused)
        self._done += filled + unfillable
        level = log.info if filled or unfillable else log.debug
        level("gap_filled", ticker=str(key), chart=chart, filled=filled, unfillable=unfillable)
        self._tell(Progress(self._total, self._done, key, chart, filled, unfillable))


@dataclass(frozen=True, slots=True)
class _Work:
    """What the repairs of all tickers share."""

    database: Database
    missing: Missing
    pace: _Pace
    board: _Board


class _TickerRepair:
    """One ticker's part of a repair: a chunk per chart, the finest first."""

    def __init__(self, key: TickerKey, exchange: Exchange, work: _Work) -> None:
        self.key = key
        self.filled = self.taken = self.refused = 0
        self.failure: str | None = None
        self._trouble: str | None = None
        self._exchange = exchange
        self._work = work

    async def run(self) -> None:
        """Fill what the charts give; a failure stays with this ticker."""
        try:
            await self._fill()
        except TimeoutError:  # the next repair finds the rest
            self.failure = self._trouble
            log.debug("repair_paused", ticker=str(self.key))
        except AppError as error:
            self.failure = error.code
        except Exception:
            self.failure = AppError.code
            log.exception("repair_broke", ticker=str(self.key))

    async def _fill(self) -> None:
        left, charts = self._work.missing.open[self.key], self._exchange.charts
        for chart_range in charts:
            older, asked = within_reach(left, chart_range, self._work.missing.presents[self.key])
            if asked:
                chart = await self._ask(chart_range)
                filling = fill(self.key, asked, chart, is_coarsest=chart_range == charts[-1])
                await self._store(asked, filling)
                self._work.board.note(self.key, chart_range.name, filling)
                older.extend(filling.left)
            left = older

    async def _ask(self, chart_range: ChartRange) -> Chart:
        """Ask for a chart; TimeoutError tells that the time is up."""
        context = {"ticker": str(self.key), "chart": chart_range.name}
        async with asyncio.timeout_at(self._work.pace.until):
            chart = await self._work.pace.for_a_step().persist(
                lambda: self._try(chart_range), **context
            )
        if not is_plausible(chart.present_us, self._work.missing.database_us):
            raise StampRefused(f"the chart is stamped {chart.present_us} µs since the epoch")
        return chart

    async def _try(self, chart_range: ChartRange) -> Chart:
        try:
            return await self._exchange.chart(self.key.ticker, chart_range)
        except AppError as error:
            self._trouble = error.code
            raise

    async def _store(self, asked: Sequence[Gap], filling: Filling) -> None:
        """Store a chunk, a huge one in several transactions; each may be the last."""
        undone = sorted([*filling.left, *filling.refused, *filling.pending])
        recovered = without(asked, undone) if self._work.missing.forced else []
        parts = zip_longest(_parts(filling.prices), _parts(filling.refused), fillvalue=())
        for rows, refused in parts:
            await self._work.pace.for_a_step().persist(
                partial(self._write, rows, refused, recovered), ticker=str(self.key)
            )
            recovered = []

    async def _write(
        self, rows: Sequence[Price], refused: Sequence[Gap], recovered: Sequence[Gap]
    ) -> None:
        async with self._work.database.transaction() as session:
            new = await prices.add(session, rows)
            await unfillable.forget(session, self.key, recovered)
            await unfillable.put(session, self.key, refused)
        self.filled += len(new)
        self.taken += len(rows)
        self.refused += count_slots(refused)
        count(ROWS_STORED, Source.BACKFILL, amount=len(new))
        for gap in refused:
            count(SLOTS_UNFILLABLE, gap.reason, amount=gap.missing)


def _sum_up(missing: Missing, repairs: Sequence[_TickerRepair]) -> Repaired:
    refused = sum(repair.refused for repair in repairs)
    repaired = Repaired(
        filled=sum(repair.filled for repair in repairs),
        unfillable=missing.given_up + refused,
        remaining=missing.total - refused - sum(repair.taken for repair in repairs),
        failed={repair.key.ticker: repair.failure for repair in repairs if repair.failure},
    )
    did_something = repaired.filled or refused
    level = log.warning if repaired.failed else log.info if did_something else log.debug
    level("prices_repaired", **{name: getattr(repaired, name) for name in repaired.__slots__})
    return repaired


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + ROWS_AT_ONCE] for at in range(0, len(items), ROWS_AT_ONCE))
