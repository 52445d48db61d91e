"""Collection: what one tick does so that every slot gets its price, once.

The database decides what is due and the exchange's clock where a quote belongs; beat only wakes.
docs/adr/0001 gives the reasons, and the clocks over which the rule was simulated.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import structlog

from app.clients import Exchange
from app.clients.timestamp_verifier import StampVerifier
from app.core.batches import BatchWriter
from app.core.best_effort import best_effort
from app.core.clocks import ExtrapolatedClock, host_id
from app.core.deadlines import Deadline, Timeout
from app.core.errors import (
    AppError,
    CollectionRunning,
    DatabaseFull,
    ExchangeTimeout,
    TimestampRefused,
)
from app.core.members import IdleGroup
from app.core.retry import Retrier
from app.domain.prices import Price, Quote, TickerKey
from app.domain.recordings import Recording, realign
from app.domain.slots import LatestLivePrice, Slot, is_plausible, seconds_left, window_seconds
from app.domain.stamps import ExchangeClock, changed_clocks
from app.postgres.database import Database
from app.redis.heartbeats import FailureStore
from app.repositories import exchange_clocks, live, prices, recordings
from app.repositories.live import Sample
from app.repositories.prices import PriceId

MAX_QUESTIONS = 6
"""Answers a tick may ask of one ticker: two are the rule, more only when a clock jumps."""
MAX_BACKOFF_SECONDS = 5.0
MAX_HANDOVER_SECONDS = 0.5
"""A tick gives up so long before a new one wakes, which would find its lock taken."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """What a tick did, by ticker; each one in `stored` has a row that this tick committed.

    A ticker is in `failed` too when it was stored for one slot and could not be for the next.
    """

    stored: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Collector:
    """Collects the configured tickers; a process has one."""

    def __init__(
        self,
        database: Database,
        exchanges: Mapping[str, Exchange],
        keys: Sequence[TickerKey],
        interval_seconds: int,
        failures: FailureStore,
    ) -> None:
        self._database = database
        self._exchanges = exchanges
        self._keys = keys
        self._interval_seconds = interval_seconds
        self._failures = failures

    async def collect(
        self, share: int = 0, shares: int = 1, *, wait: bool = False
    ) -> CollectionResult:
        """Collect one share of the tickers, trying for an interval.

        While another tick is at this share, there is nothing to do: the outcome is empty. With
        `wait` its end is awaited instead, and what it stored counts as already there.

        Raises:
            DatabaseUnavailable: PostgreSQL stayed away.
            CollectionRunning: with `wait`, the other tick did not end.
        """
        patience = self._patience()
        keys = self._keys[share::shares]

        async def attempt() -> CollectionResult | None:
            async with self._database.try_lock(f"prices:tick:{share}/{shares}") as held:
                if held:
                    return await self._collect(keys, patience, realigns=share == 0)
            if wait:
                raise CollectionRunning("another collection is under way")
            return None

        try:
            return await patience.call(attempt) or CollectionResult()
        except DatabaseFull as error:  # which nobody sees by reading
            await self._failures.note(dict.fromkeys(keys, error))
            raise

    async def unknown_tickers(self) -> list[TickerKey]:
        """Name the configured tickers that the exchange does not list.

        They are collected all the same: the list that it publishes may lag behind.

        Raises:
            ExchangeError: the exchange can't be asked.
        """
        names = {name: await client.index_names() for name, client in self._exchanges.items()}
        return [key for key in self._keys if key.ticker not in names[key.exchange]]

    def _patience(self) -> Retrier:
        interval = self._interval_seconds
        return Retrier(
            interval - _handover_seconds(interval),
            first_wait=min(0.5, interval / 20),
            longest_wait=min(MAX_BACKOFF_SECONDS, interval / 6),
        )

    async def _collect(
        self, keys: Sequence[TickerKey], patience: Retrier, *, realigns: bool
    ) -> CollectionResult:
        known = await self._realigned() if realigns else await self._recordings()
        async with self._database.read() as session:
            database_us, edges = await prices.live_edges(session, keys)
            kept = await exchange_clocks.of_host(session, host_id())
        database_now = ExtrapolatedClock(database_us)
        clocks = {name: replace(kept.get(name, ExchangeClock())) for name in self._exchanges}
        firsts = {key: recording.first_slot for key, recording in known.items()}
        ledger = BatchWriter[Sample](
            lambda samples: self._store(samples, patience, firsts, database_now), len(keys)
        )
        grace = Timeout(_handover_seconds(self._interval_seconds))
        with Deadline(max(0, patience.left_seconds) + grace.seconds) as deadline:
            shared = _Shared(
                self._interval_seconds, patience, deadline, grace, ledger, clocks, IdleGroup(keys)
            )
            ticks = [_TickerTick(key, self._exchanges[key.exchange], shared) for key in keys]
            async with asyncio.TaskGroup() as group:
                group.create_task(ledger.write_all())
                for tick in ticks:
                    group.create_task(tick.run(edges.get(tick.key), database_now))
        await self._failures.note(
            {tick.key: tick.failure for tick in ticks if tick.failure},
            [tick.key for tick in ticks if tick.stored],
        )
        outcome = _sum_up(ticks)
        left = max(0, patience.left_seconds) + grace.seconds
        if changed := changed_clocks(clocks, kept):  # without them, the next tick learns anew
            not_saved = best_effort("exchange_clocks_not_saved", left)
            async with not_saved, self._database.transaction() as session:
                await exchange_clocks.put(session, host_id(), changed)
        return outcome

    async def _store(
        self,
        samples: Sequence[Sample],
        patience: Retrier,
        firsts: Mapping[TickerKey, Slot],
        database: ExtrapolatedClock,
    ) -> list[bool]:
        """Commit prices, trying as long as patience lasts; tell which slots were free."""
        write = partial(self._write, samples, firsts, database)
        new = await patience.call(write, rows=len(samples))
        return [sample.id in new for sample in samples]

    async def _write(
        self,
        samples: Sequence[Sample],
        firsts: Mapping[TickerKey, Slot],
        database: ExtrapolatedClock,
    ) -> set[PriceId]:
        async with self._database.transaction() as session:
            new = await prices.add(session, [sample.price for sample in samples])
            early = {key: slot for key, slot in new if slot < firsts.get(key, slot)}
            await recordings.extend_start(session, early)
            stored = [sample for sample in samples if sample.id in new]
            late = await live.demote_late(session, stored, self._interval_seconds, database)
        live.count_stored(new, late)
        return new

    async def _recordings(self) -> Mapping[TickerKey, Recording]:
        async with self._database.read() as session:
            return await recordings.newest(session)

    async def _realigned(self) -> Mapping[TickerKey, Recording]:
        """Open and close recordings where the configuration changed."""
        known = await self._recordings()
        wanted = set(self._keys)
        if {key for key, item in known.items() if self._is_current(item)} == wanted:
            return known
        async with self._database.transaction() as session:
            await recordings.lock_recordings(session)
            known = await recordings.newest(session)
            database_us, edges = await prices.live_edges(session, wanted | known.keys())
            changes = realign(known, self._keys, self._interval_seconds, edges, database_us)
            await recordings.put(session, changes)
        for change in changes:
            event = "recording_opened" if change.is_open else "recording_closed"
            log.info(event, ticker=str(change.key), interval_seconds=change.interval_seconds)
        return {**known, **{change.key: change for change in changes}}

    def _is_current(self, recording: Recording) -> bool:
        return recording.is_open and recording.interval_seconds == self._interval_seconds


class _Shared(NamedTuple):
    """What the tickers of a tick have in common."""

    interval_seconds: int
    patience: Retrier
    deadline: Deadline
    grace: Timeout
    ledger: BatchWriter[Sample]
    clocks: Mapping[str, ExchangeClock]
    members: IdleGroup[TickerKey]


class _TickerTick:
    """One ticker's part of a tick."""

    def __init__(self, key: TickerKey, exchange: Exchange, shared: _Shared) -> None:
        self.key = key
        self.stored = 0
        self.failure: AppError | None = None
        self._exchange = exchange
        self._interval_seconds, self._patience, self._deadline, self._grace = shared[:4]
        self._ledger, self._members = shared.ledger, shared.members
        self._clock = shared.clocks[key.exchange]

    async def run(self, edge: LatestLivePrice | None, database: ExtrapolatedClock) -> None:
        """Store every slot that is due; a failure stays with this ticker."""
        try:
            await self._store_due(edge, database)
        except AppError as error:
            self.failure = error
        except Exception:
            self.failure = AppError("a defect: the log tells more")
            log.exception("collection_broke", ticker=str(self.key))
        finally:
            self._ledger.leave()
            self._members.leave(self.key)

    async def _store_due(self, edge: LatestLivePrice | None, database: ExtrapolatedClock) -> None:
        present_us = edge.present_us(database.now_us()) if edge else None
        present = None if present_us is None else ExtrapolatedClock(present_us)
        newest = edge.slot if edge else None
        for _ in range(MAX_QUESTIONS):
            if newest is not None and present is not None and not await self._over(newest, present):
                return
            verifier = StampVerifier(self._clock, present, database, self._interval_seconds)
            surely = partial(verifier.ask, partial(self._ask, database))
            quote = await self._patience.call(surely, ticker=str(self.key))
            price = Price.live(quote, self._interval_seconds)
            sample = live.observe(price, present, self._interval_seconds)
            present = ExtrapolatedClock(quote.observed_us)
            self.stored += await self._ledger.add(sample)
            newest = price.slot  # which may be an earlier one: the exchange's clock was set back

    async def _over(self, newest: Slot, present: ExtrapolatedClock) -> bool:
        """Tell whether the newest slot is over, waiting out the last part of it.

        While others of the tick are busy, any slot is waited out: other ticks find its lock taken.
        """
        left = seconds_left(newest, self._interval_seconds, present.now_us())
        spare = left - window_seconds(self._interval_seconds)
        if spare > 0 and not await self._members.rest(self.key, spare):
            return False
        left = seconds_left(newest, self._interval_seconds, present.now_us())
        await asyncio.sleep(max(0, left))
        return True

    async def _ask(self, database: ExtrapolatedClock) -> Quote:
        end = self._deadline if self._patience.left_seconds > 0 else self._grace
        try:
            with end.guard():
                quote = await self._exchange.index_price(self.key.ticker)
        except TimeoutError:
            raise ExchangeTimeout("no turn, or no answer, before the next tick is due") from None
        if not is_plausible(quote.observed_us, database.now_us()):
            raise TimestampRefused(f"the answer is stamped {quote.observed_us} µs since the epoch")
        return quote


def _handover_seconds(interval_seconds: int) -> float:
    return min(MAX_HANDOVER_SECONDS, interval_seconds / 10)


def _sum_up(ticks: Sequence[_TickerTick]) -> CollectionResult:
    outcome = CollectionResult(
        stored=[tick.key.ticker for tick in ticks if tick.stored],
        already=[tick.key.ticker for tick in ticks if not (tick.stored or tick.failure)],
        failed={tick.key.ticker: tick.failure.code for tick in ticks if tick.failure},
    )
    level = log.warning if outcome.failed else log.info if outcome.stored else log.debug
    level("prices_collected", **{name: getattr(outcome, name) for name in outcome.__slots__})
    return outcome
