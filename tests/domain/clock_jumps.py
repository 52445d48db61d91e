"""A simulation of collection while clocks jump: the exchange's, the database's, or both.

    python -m tests.domain.clock_jumps      prints the table of docs/adr/0015

Believing, the live edge, what is due and what is stale are the service's own functions; the loop of
a tick is written here again, on simulated time. Truth is the exchange's clock without its glitch.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

from app.domain.gaps import last_due_slot
from app.domain.slots import (
    MICROSECONDS,
    STALE_AFTER_INTERVALS,
    LatestLivePrice,
    Slot,
    estimate_exchange_now_us,
    floor_slot,
    is_plausible,
    seconds_left,
    window_seconds,
)
from app.domain.timestamp_checks import ClockReadings, ExchangeClock, are_consistent

BASE_SECONDS = 1_768_580_400
TICKERS = ("btc_usd", "eth_usd")
QUESTIONS = 6


class Jump(NamedTuple):
    """A clock that is so many seconds off from one moment to another."""

    seconds: float = 0
    start: float = 0
    duration: float = 0

    @property
    def end(self) -> float:
        return self.start + self.duration

    def at(self, moment: float) -> float:
        return self.seconds if self.start <= moment < self.end else 0


NEVER = Jump()


@dataclass(frozen=True)
class Case:
    """What happens: moments are in seconds from the beginning."""

    interval: int
    exchange: Jump = NEVER
    database: Jump = NEVER
    exchange_ahead: float = 0
    restarts: Sequence[float] = ()
    reboots: Sequence[float] = ()

    @property
    def calm(self) -> float:
        """The end of the last jump."""
        return max(self.exchange.end, self.database.end)


class Row(NamedTuple):
    slot: int
    observed_us: int
    created_us: int
    at: float


@dataclass
class Found:
    """What went wrong, in slots or in seconds."""

    future_rows: int = 0
    lost_in_calm: int = 0
    lost: int = 0
    falsely_due_seconds: int = 0
    falsely_fresh_seconds: int = 0
    recovery_seconds: float = 0


@dataclass
class World:
    """The clocks, the rows in the order in which they were committed, and what a host remembers."""

    case: Case
    dice: Random = field(default_factory=lambda: Random(1))  # noqa: S311  # jitter
    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TICKERS})
    kept: ExchangeClock = field(default_factory=ExchangeClock)
    taken: set[tuple[str, int]] = field(default_factory=set)
    last: dict[str, Row] = field(default_factory=dict)
    is_before: bool = False

    def truth_us(self, at: float) -> int:
        return _us(BASE_SECONDS + at + self.case.exchange_ahead)

    def exchange_us(self, at: float) -> int:
        return self.truth_us(at) + _us(self.case.exchange.at(at))

    def database_us(self, at: float) -> int:
        return _us(BASE_SECONDS + at + self.case.database.at(at))

    def edge(self, ticker: str) -> LatestLivePrice | None:
        """Give what `prices.read_latest_live` would have read."""
        if ticker not in self.last:
            return None
        last = self.last[ticker]
        return LatestLivePrice(Slot(last.slot), last.observed_us, last.created_us)

    def store(self, ticker: str, observed_us: int, at: float) -> Slot:
        slot = floor_slot(observed_us, self.case.interval)
        if (ticker, slot) not in self.taken:
            row = Row(slot, observed_us, self.database_us(at), at)
            self.taken.add((ticker, slot))
            self.rows[ticker].append(row)
            if not self.is_before or ticker not in self.last or slot > self.last[ticker].slot:
                self.last[ticker] = row
        return slot


def simulate(case: Case, *, is_before: bool = False) -> Found:
    """Run ticks until long after the last jump; tell what went wrong.

    Before ADR 15 two answers that agreed were believed, and the edge was the highest stamp.
    """
    world = World(case, is_before=is_before)
    end = case.calm + 30 * case.interval + 120
    busy_until = 0.0
    for woken in _wakes(case.interval, end, world.dice):
        if woken < busy_until:
            continue  # another tick has the lock
        if any(busy_until <= reboot <= woken for reboot in case.reboots):
            world.kept = ExchangeClock()
        clock = replace(world.kept)
        killed = next((at for at in case.restarts if woken <= at < woken + case.interval), None)
        ends = [_tick(world, ticker, clock, woken, killed) for ticker in TICKERS]
        busy_until = max(ends)
        if killed is None or killed >= busy_until:
            world.kept = clock
        else:
            busy_until = killed
    return _judge(world, end)


def _tick(
    world: World, ticker: str, clock: ExchangeClock, at: float, killed: float | None
) -> float:
    """Serve one ticker; tell when its part was over."""
    interval, patience_until = world.case.interval, at + world.case.interval - 0.5
    edge = world.edge(ticker)
    exchange_now_us = edge.exchange_now_us(world.database_us(at)) if edge else None
    supposed = None if exchange_now_us is None else exchange_now_us - _us(at)
    database = world.database_us(at) - _us(at)
    newest = edge.slot if edge else None
    for _ in range(QUESTIONS):
        if newest is not None and supposed is not None:
            left = seconds_left(newest, interval, supposed + _us(at))
            if left > window_seconds(interval):
                return at
            at += max(left, 0)
        wait = min(0.5, interval / 20)
        while (answer := _ask_surely(world, clock, at, supposed, database))[0] is None:
            at = answer[1] + wait
            wait = min(2 * wait, interval / 6, 5)
            if at >= patience_until:
                return patience_until
        observed_us, at = answer
        if killed is not None and at >= killed:
            return killed
        assert observed_us is not None
        newest = world.store(ticker, observed_us, at)
        supposed = observed_us - _us(at)
    return at


def _ask_surely(
    world: World, clock: ExchangeClock, at: float, supposed: int | None, database: int
) -> tuple[int | None, float]:
    """Return a believed stamp, as `TimestampVerifier.fetch_verified` does, and when it came."""
    interval = world.case.interval

    def ask(at: float) -> tuple[int, float, ClockReadings]:
        came = at + 0.02 + world.dice.random() * 0.03
        exchange_now_us = None if supposed is None else supposed + _us(came)
        return (
            world.exchange_us(came - 0.01),
            came,
            ClockReadings(exchange_now_us, database + _us(came), _us(came)),
        )

    first, at, now = ask(at)
    observed, came, then = first, at, now
    if is_plausible(first, now.database_us) and clock.is_doubtful(observed, now, interval):
        observed, came, then = ask(at)
        if clock.is_doubtful(observed, then, interval):
            confirmed = are_consistent(observed, first + _us(came - at))
            credible = world.is_before or clock.is_credible(observed, then, interval)
            if not (confirmed and credible):
                return None, came
    if not is_plausible(observed, then.database_us):
        return None, came
    if not world.is_before:
        clock.accept(observed, then)
    return observed, came


def _wakes(interval: int, end: float, dice: Random) -> Iterator[float]:
    """Give the moments at which beat wakes, every one of them twice."""
    period = min(interval / 4, 15)
    for number in range(int(end / period)):
        woken = number * period + 0.3 + dice.random() * 0.05
        yield woken
        yield woken + 0.001


def _judge(world: World, end: float) -> Found:
    case, found = world.case, Found()
    for ticker in TICKERS:
        rows = world.rows[ticker]
        found.future_rows += sum(row.slot * MICROSECONDS > world.truth_us(row.at) for row in rows)
        honest = {
            row.slot
            for row in rows
            if row.slot == floor_slot(world.truth_us(row.at), case.interval)
        }
        first = min(honest)
        last = floor_slot(world.truth_us(end), case.interval) - 2 * case.interval
        for slot in range(first, last, case.interval):
            if slot not in honest:
                found.lost += 1
                found.lost_in_calm += _is_calm(world, slot)
    found.falsely_due_seconds, found.falsely_fresh_seconds = _misjudged(world, end)
    found.recovery_seconds = _recovery(world)
    return found


def _is_calm(world: World, slot: int) -> bool:
    """Tell whether a slot lies outside the exchange's glitch, and the two intervals after it."""
    case, glitch = world.case, world.case.exchange
    begin = slot - BASE_SECONDS - case.exchange_ahead
    if glitch.duration == 0:
        return True
    return begin + case.interval <= glitch.start or begin >= glitch.end + 2 * case.interval


def _misjudged(world: World, end: float) -> tuple[int, int]:
    """Count seconds in which a slot was called due too early, or stale prices fresh."""
    due = fresh = 0
    interval = world.case.interval
    limit = STALE_AFTER_INTERVALS * interval
    for ticker in TICKERS:
        moments = iter(world.rows[ticker])
        following, last, honest = next(moments, None), None, 0
        for second in range(2 * interval, int(end)):
            while following is not None and following.at <= second:
                if last is None or not world.is_before or following.slot > last.slot:
                    last = following
                if following.slot == floor_slot(world.truth_us(following.at), interval):
                    honest = following.slot
                following = next(moments, None)
            if last is None:
                continue
            edge = LatestLivePrice(Slot(last.slot), last.observed_us, last.created_us)
            exchange_now_us = estimate_exchange_now_us(edge, world.database_us(second))
            truth_us = world.truth_us(second)
            due += (last_due_slot(exchange_now_us, interval) + interval) * MICROSECONDS > truth_us
            is_fresh = exchange_now_us // MICROSECONDS - edge.slot <= limit
            fresh += is_fresh and truth_us // MICROSECONDS - honest > limit + 2 * interval
    return due, fresh


def _recovery(world: World) -> float:
    """Tell how long after the last jump every ticker had an honest row of a new slot."""
    case = world.case
    return max(
        next(
            (
                row.at - case.calm
                for row in world.rows[ticker]
                if row.at >= case.calm
                and row.slot == floor_slot(world.truth_us(row.at), case.interval)
            ),
            float("inf"),
        )
        for ticker in TICKERS
    )


def _us(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def glitches(interval: int) -> Iterator[Case]:
    """Give the exchange's glitches: seconds to an hour, both ways, one answer to over an hour."""
    start = 10 * interval + 60 + interval / 3
    for size in (40, 90, 1800, 3400):
        for sign in (1, -1):
            for duration in (0.5, 35, 120, 3500, 4200):
                for off in (0, 1500):
                    jump = Jump(sign * size, start, duration)
                    restarts = [start + 1, start + duration / 2]
                    yield Case(interval, jump, exchange_ahead=off)
                    yield Case(interval, jump, exchange_ahead=off, restarts=restarts)


def corrections(interval: int) -> Iterator[Case]:
    """Give clocks of the database that are set, and set right again, while the exchange is well."""
    start = 10 * interval + 60 + interval / 3
    for seconds in (-1500, -90, 90, 1500):
        for ahead in (-1800, 0, 1800):
            for duration in (5, 120, 900):
                jump = Jump(seconds, start, duration)
                yield Case(interval, database=jump, exchange_ahead=ahead)
                yield Case(interval, database=jump, exchange_ahead=ahead, reboots=[start])


def main() -> None:
    """Print the worst of each group of cases."""
    names = list(Found.__dataclass_fields__)
    out = sys.stdout
    for rule, is_before in (("before", True), ("now", False)):
        for interval in (6, 60):
            groups = {
                "jump of the exchange, up to an hour long": [
                    case for case in glitches(interval) if case.exchange.duration <= 3600
                ],
                "jump of the exchange, longer": [
                    case for case in glitches(interval) if case.exchange.duration > 3600
                ],
                "jump of the database": [
                    case for case in corrections(interval) if not case.reboots
                ],
                "the same while the host starts": [
                    case for case in corrections(interval) if case.reboots
                ],
            }
            for title, cases in groups.items():
                founds = [simulate(case, is_before=is_before) for case in cases]
                worst = [max(getattr(found, name) for found in founds) for name in names]
                cells = [f"{name}={value:g}" for name, value in zip(names, worst, strict=True)]
                out.write(f"{rule} {interval} s, {title} ({len(cases)}): {', '.join(cells)}\n")
                out.flush()


if __name__ == "__main__":
    main()
