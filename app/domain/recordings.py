"""Recordings: what was promised to be recorded, so that a gap has a meaning."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.domain.prices import TickerKey
from app.domain.slots import (
    MICROSECONDS,
    LatestLivePrice,
    Slot,
    estimate_exchange_now_us,
    floor_slot,
    slot_before,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A promise: this ticker is recorded in every slot from the first to the last, inclusive.

    An open recording has no last slot; one whose last slot precedes its first promises nothing.
    """

    key: TickerKey
    interval_seconds: int
    first_slot: Slot
    last_slot: Slot | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether it still goes on."""
        return self.last_slot is None

    @property
    def is_empty(self) -> bool:
        """Tell whether it promises no slot at all."""
        return self.last_slot is not None and self.last_slot < self.first_slot


def realign(
    newest: Mapping[TickerKey, Recording],
    wanted: Collection[TickerKey],
    interval_seconds: int,
    edges: Mapping[TickerKey, LatestLivePrice],
    database_us: int,
) -> list[Recording]:
    """Tell which recordings change so that exactly the wanted tickers are open at this interval.

    `newest` is each ticker's newest recording. Those that close come first. A recording that
    closed a moment ago goes on instead of a new one, so two workers that are configured
    differently for a while leave no heap of pieces.
    """
    presents = {
        key: estimate_exchange_now_us(edges.get(key), database_us) for key in {*newest, *wanted}
    }
    closed = {
        key: _close(recording, edges.get(key), presents[key])
        for key, recording in newest.items()
        if recording.is_open and not (key in wanted and _fits(recording, interval_seconds))
    }
    current = {**newest, **closed}
    opened = _open(current, wanted, interval_seconds, presents)
    return [*closed.values(), *opened]


def subtract_recordings(wished: Recording, known: Iterable[Recording]) -> list[Recording]:
    """Give the parts of a closed recording that overlap none of its ticker's others."""
    parts = [wished]
    for other in known:
        if not other.is_empty:
            parts = [piece for part in parts for piece in _outside(part, other)]
    return parts


def _outside(part: Recording, other: Recording) -> Iterator[Recording]:
    """Give what of a closed recording ends before another begins, and begins after its end."""
    step = part.interval_seconds
    until = floor_slot((other.first_slot - step) * MICROSECONDS, step)
    pieces = [
        replace(part, last_slot=until if part.last_slot is None else min(part.last_slot, until))
    ]
    if other.last_slot is not None:
        begin = _beyond(other.last_slot + other.interval_seconds - 1, step)
        pieces.append(replace(part, first_slot=max(part.first_slot, begin)))
    return (piece for piece in pieces if not piece.is_empty)


def _open(
    current: Mapping[TickerKey, Recording],
    wanted: Collection[TickerKey],
    interval_seconds: int,
    presents: Mapping[TickerKey, int],
) -> Iterator[Recording]:
    for key in wanted:
        before = current.get(key)
        present = floor_slot(presents[key], interval_seconds)
        if before is None:
            yield Recording(key, interval_seconds, present)
        elif before.last_slot is None:
            continue
        elif _goes_on(before, present, interval_seconds):
            yield replace(before, last_slot=None)
        else:
            # an empty one is removed, and what came before it ended before its first slot
            promised = max(before.last_slot, before.first_slot - 1)
            yield Recording(
                key, interval_seconds, max(present, _beyond(promised, interval_seconds))
            )


def _goes_on(before: Recording, present: Slot, interval_seconds: int) -> bool:
    if before.last_slot is None or before.is_empty or not _fits(before, interval_seconds):
        return False
    return before.last_slot >= present - 2 * interval_seconds


def _beyond(second: int, interval_seconds: int) -> Slot:
    """Give the first slot of this grid after a second, which may lie on another grid."""
    return floor_slot((second + interval_seconds) * MICROSECONDS, interval_seconds)


def _close(recording: Recording, edge: LatestLivePrice | None, exchange_now_us: int) -> Recording:
    """Close after the newest slot that is over, or stored already."""
    present = floor_slot(exchange_now_us, recording.interval_seconds)
    last = slot_before(present, recording.interval_seconds)
    return replace(recording, last_slot=max(last, edge.slot) if edge else last)


def _fits(recording: Recording, interval_seconds: int) -> bool:
    return recording.interval_seconds == interval_seconds
