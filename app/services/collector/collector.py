"""One tick: collect all tickers of a shard while holding the shard's lock."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from app.clients.base import Exchange
from app.core.batch_writer import BatchWriter
from app.core.busy_members import BusyMembers
from app.core.clocks import ExtrapolatedClock, host_id
from app.core.errors import CollectionRunning, DatabaseFull
from app.core.retry import Retrier
from app.domain.prices import TickerKey, names_without_common_exchange
from app.domain.recordings import Recording, realign
from app.domain.slots import LatestLivePrice, Slot
from app.domain.timestamp_checks import ExchangeClock, changed_clocks
from app.postgres.database import Database
from app.redis.process_reports import TickReports
from app.repositories import creation_times, exchange_clocks, late_prices, prices, recordings
from app.repositories.late_prices import ObservedPrice
from app.repositories.prices import PriceId
from app.services.collector.blocked_writes import BlockedWriteReporter
from app.services.collector.ticker_tick import TickContext, TickerTick

MAX_BACKOFF_SECONDS = 5.0
MAX_HANDOVER_SECONDS = 0.5
"""A tick gives up this long before the next one starts, so that the next one finds no lock."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """The tickers of a tick by result; each one in `stored` has a row that this tick committed.

    A ticker is in both `stored` and `failed` when one slot was stored and the next one failed.
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
        reports: TickReports,
    ) -> None:
        self._database = database
        self._exchanges = exchanges
        self._keys = keys
        self._interval_seconds = interval_seconds
        self._handover_seconds = min(MAX_HANDOVER_SECONDS, interval_seconds / 10)
        self._reports = reports
        self._names = names_without_common_exchange(keys)

    async def collect(
        self, shard: int = 0, shards: int = 1, *, wait: bool = False
    ) -> CollectionResult:
        """Collect one shard of the tickers, retrying for one interval.

        While another tick works on this shard, the result is empty. With `wait`, this call waits
        for the other tick's end instead, and counts what it stored as `already`.

        Raises:
            DatabaseUnavailable: PostgreSQL stayed away.
            CollectionRunning: with `wait`, the other tick did not end.
        """
        interval = self._interval_seconds
        retrier = Retrier(
            interval - self._handover_seconds,
            first_wait_seconds=min(0.5, interval / 20),
            max_wait_seconds=min(MAX_BACKOFF_SECONDS, interval / 6),
        )
        keys = self._keys[shard::shards]

        async def attempt() -> CollectionResult | None:
            async with self._database.try_lock(f"prices:tick:{shard}/{shards}") as is_locked:
                if is_locked:
                    return await self._collect(keys, retrier, syncs_recordings=shard == 0)
            if wait:
                raise CollectionRunning("another collection is under way")
            return None

        try:
            return await retrier.call(attempt) or CollectionResult()
        except DatabaseFull as error:  # reads still work, so nothing else would report it
            await self._reports.record_failures(dict.fromkeys(keys, error))
            raise

    async def unknown_tickers(self) -> list[TickerKey]:
        """Return the configured tickers that the exchange does not list.

        They are collected all the same, because the published list may lag behind.

        Raises:
            ExchangeError: the exchange gave no usable answer.
        """
        names = {
            name: await self._exchanges[name].fetch_index_names()
            for name in {key.exchange for key in self._keys}
        }
        return [key for key in self._keys if key.ticker not in names[key.exchange]]

    async def _collect(
        self, keys: Sequence[TickerKey], retrier: Retrier, *, syncs_recordings: bool
    ) -> CollectionResult:
        async with self._database.read_committed() as session:
            known = await recordings.newest(session)
        if syncs_recordings:
            known = await self._sync_recordings(known)
        async with self._database.read_committed() as session:
            database_us, latest_prices = await prices.read_latest_live(session, keys)
            saved_clocks = await exchange_clocks.read_for_host(session, host_id())
        database_clock = ExtrapolatedClock(database_us)
        clocks = {
            name: replace(saved_clocks.get(name, ExchangeClock())) for name in self._exchanges
        }
        first_slots = {key: recording.first_slot for key, recording in known.items()}
        reporter = BlockedWriteReporter(self._database, self._reports, keys, self._interval_seconds)
        store = partial(self._store, retrier, first_slots, database_clock, reporter)
        context = TickContext(
            self._interval_seconds,
            retrier,
            self._handover_seconds,
            BatchWriter(store, len(keys)),
            clocks,
            database_clock,
            BusyMembers(len(keys)),
        )
        result = await self._run_tick(keys, context, latest_prices)
        await self._save_clocks(changed_clocks(clocks, saved_clocks), context.timeout_seconds())
        return result

    async def _run_tick(
        self,
        keys: Sequence[TickerKey],
        context: TickContext,
        latest_prices: Mapping[TickerKey, LatestLivePrice],
    ) -> CollectionResult:
        ticks = [TickerTick(key, self._exchanges[key.exchange], context) for key in keys]
        async with asyncio.TaskGroup() as group:
            group.create_task(context.batch_writer.run())
            for tick in ticks:
                group.create_task(tick.run(latest_prices.get(tick.key)))
        await self._report(ticks)
        return _summarize_and_log(ticks, self._names)

    async def _report(self, ticks: Sequence[TickerTick]) -> None:
        """Report failures and answer times; without Redis this takes a second at most."""
        await asyncio.gather(
            self._reports.record_failures(
                {tick.key: tick.failure for tick in ticks if tick.failure},
                [tick.key for tick in ticks if tick.stored],
                {tick.key: tick.failing_seconds for tick in ticks},
            ),
            self._reports.record_answers(_fastest_answers(ticks)),
        )

    async def _save_clocks(
        self, clocks: Mapping[str, ExchangeClock], timeout_seconds: float
    ) -> None:
        """Save exchange clocks; if that fails, the next tick learns them anew."""
        if not clocks:
            return
        try:
            async with asyncio.timeout(timeout_seconds), self._database.transaction() as session:
                await exchange_clocks.upsert(session, host_id(), clocks)
        except Exception as error:  # noqa: BLE001  # logged below
            detail = str(error) or type(error).__name__
            log.warning("exchange_clocks_not_saved", detail=detail)

    async def _store(
        self,
        retrier: Retrier,
        first_slots: Mapping[TickerKey, Slot],
        database_clock: ExtrapolatedClock,
        blocked_writes: BlockedWriteReporter,
        samples: Sequence[ObservedPrice],
    ) -> list[bool]:
        """Commit prices, with retries; return for each sample whether its slot was free."""

        async def write() -> set[PriceId]:
            async with blocked_writes.watching(), self._database.transaction() as session:
                new = await prices.insert_new(session, [sample.price for sample in samples])
                early = {key: slot for key, slot in new if slot < first_slots.get(key, slot)}
                await recordings.extend_open_start(session, early)
                await creation_times.renew_if_old(session, new)
                stored = [sample for sample in samples if sample.id in new]
                late = await late_prices.mark_late_as_backfill(
                    session, stored, self._interval_seconds, database_clock
                )
            late_prices.count_stored(stored, late)
            return new

        new = await retrier.call(write, rows=len(samples))
        return [sample.id in new for sample in samples]

    async def _sync_recordings(
        self, known: dict[TickerKey, Recording]
    ) -> dict[TickerKey, Recording]:
        """Open and close recordings where the configuration changed; return the newest ones."""
        configured = set(self._keys)
        if {key for key, item in known.items() if self._is_current(item)} == configured:
            return known
        async with self._database.transaction() as session:
            await recordings.lock_recordings(session)
            known = await recordings.newest(session)
            database_us, latest_prices = await prices.read_latest_live(
                session, configured | known.keys()
            )
            changes = realign(known, self._keys, self._interval_seconds, latest_prices, database_us)
            await recordings.upsert(session, changes)
        for change in changes:
            event = "recording_opened" if change.is_open else "recording_closed"
            log.info(event, ticker=str(change.key), interval_seconds=change.interval_seconds)
        return known | {change.key: change for change in changes}

    def _is_current(self, recording: Recording) -> bool:
        return recording.is_open and recording.interval_seconds == self._interval_seconds


def _fastest_answers(ticks: Sequence[TickerTick]) -> dict[str, float | None]:
    """Return the seconds of the fastest answer of each exchange that was asked; None without one.

    The slower ones may have waited for a permit.
    """
    answers: dict[str, list[float]] = {}
    for tick in ticks:
        if tick.has_tried_to_fetch:
            answers.setdefault(tick.key.exchange, []).extend(tick.answer_seconds)
    return {exchange: min(seconds, default=None) for exchange, seconds in answers.items()}


def _summarize_and_log(
    ticks: Sequence[TickerTick], names: Mapping[TickerKey, str]
) -> CollectionResult:
    result = CollectionResult(
        stored=[names[tick.key] for tick in ticks if tick.stored],
        already=[names[tick.key] for tick in ticks if not (tick.stored or tick.failure)],
        failed={names[tick.key]: tick.failure.code for tick in ticks if tick.failure},
    )
    level = log.warning if result.failed else log.info if result.stored else log.debug
    level("prices_collected", **{name: getattr(result, name) for name in result.__slots__})
    return result
