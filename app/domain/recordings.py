"""Recordings: the slots in which a ticker should have a price; what they lack is a gap."""

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
    """The promise to record a ticker in every slot from the first to the last, both inclusive.

    An open recording has no last slot. One whose last slot precedes its first is empty.
    """

    key: TickerKey
    interval_seconds: int
    first_slot: Slot
    last_slot: Slot | None = None

    @property
    def is_open(self) -> bool:
        """Return whether it still goes on."""
        return self.last_slot is None

    @property
    def is_empty(self) -> bool:
        """Return whether it has no slots at all."""
        return self.last_slot is not None and self.last_slot < self.first_slot


def realign(
    newest: Mapping[TickerKey, Recording],
    wanted: Collection[TickerKey],
    interval_seconds: int,
    latest_live: Mapping[TickerKey, LatestLivePrice],
    database_us: int,
) -> list[Recording]:
    """Return the changed recordings after which exactly the wanted tickers are open.

    `newest` is each ticker's newest recording. Closed recordings come first. A recording that was
    closed just before is continued instead of starting a new one, so that two workers with
    different settings don't leave many short recordings.
    """
    exchange_now_us = {
        key: estimate_exchange_now_us(latest_live.get(key), database_us)
        for key in {*newest, *wanted}
    }
    closed = {
        key: _close(recording, latest_live.get(key), exchange_now_us[key])
        for key, recording in newest.items()
        if recording.is_open
        and not (key in wanted and recording.interval_seconds == interval_seconds)
    }
    current = {**newest, **closed}
    opened = _open(current, wanted, interval_seconds, exchange_now_us)
    return [*closed.values(), *opened]


def subtract_recordings(recording: Recording, known: Iterable[Recording]) -> list[Recording]:
    """Return the parts of a recording that overlap none of the ticker's known ones."""
    parts = [recording]
    for other in known:
        if not other.is_empty:
            parts = [piece for part in parts for piece in _outside(part, other)]
    return parts


def _outside(part: Recording, other: Recording) -> Iterator[Recording]:
    """Return the parts of a recording before and after another one."""
    step = part.interval_seconds
    last = floor_slot((other.first_slot - step) * MICROSECONDS, step)
    pieces = [
        replace(part, last_slot=last if part.last_slot is None else min(part.last_slot, last))
    ]
    if other.last_slot is not None:
        first = _first_slot_after(other.last_slot + other.interval_seconds - 1, step)
        pieces.append(replace(part, first_slot=max(part.first_slot, first)))
    return (piece for piece in pieces if not piece.is_empty)


def _open(
    current: Mapping[TickerKey, Recording],
    wanted: Collection[TickerKey],
    interval_seconds: int,
    exchange_now_us: Mapping[TickerKey, int],
) -> Iterator[Recording]:
    for key in wanted:
        previous = current.get(key)
        current_slot = floor_slot(exchange_now_us[key], interval_seconds)
        if previous is None:
            yield Recording(key, interval_seconds, current_slot)
        elif previous.last_slot is None:
            continue
        elif (
            previous.interval_seconds == interval_seconds
            and previous.last_slot >= current_slot - 2 * interval_seconds
            and not previous.is_empty
        ):
            yield replace(previous, last_slot=None)
        else:
            # an empty one is removed, and earlier ones end before its first slot
            last_second = max(previous.last_slot, previous.first_slot - 1)
            first = max(current_slot, _first_slot_after(last_second, interval_seconds))
            yield Recording(key, interval_seconds, first)


def _first_slot_after(second: int, interval_seconds: int) -> Slot:
    """Return the first slot of this interval after a second, which may be of another interval."""
    return floor_slot((second + interval_seconds) * MICROSECONDS, interval_seconds)


def _close(
    recording: Recording, latest_live: LatestLivePrice | None, exchange_now_us: int
) -> Recording:
    """Close after the newest slot that is over, or already stored."""
    current_slot = floor_slot(exchange_now_us, recording.interval_seconds)
    last = slot_before(current_slot, recording.interval_seconds)
    return replace(recording, last_slot=max(last, latest_live.slot) if latest_live else last)
