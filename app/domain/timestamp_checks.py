"""Checks of an exchange's timestamps: which are accepted at once, and which need confirmation.

Three clocks are compared: the exchange's, the database's, and the boot-time clock of this host,
which nobody can set. A timestamp that fits the expectation of either of our clocks is accepted,
because then the other one was set. docs/adr/0015 describes the simulation behind these rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain.slots import MICROSECONDS

MIN_DEVIATION_SECONDS = 2
MAX_DEVIATION_SECONDS = 60
MAX_DATABASE_DEVIATION_SECONDS = 300
AGREEMENT_SECONDS = 5
MIN_PROBATION_SECONDS = 60
LONG_PROBATION_SECONDS = 3_600
DRIFT_SECONDS = 1


class ClockReadings(NamedTuple):
    """Our clocks when an answer arrives, in microseconds.

    `exchange_now_us` is the exchange's clock, estimated from its last stored timestamp; None if
    there is none, or if the database's clock was set back since. `host_us` counts from the start of
    the host.
    """

    exchange_now_us: int | None
    database_us: int
    host_us: int


class UnconfirmedJump(NamedTuple):
    """A jump that is not accepted yet: its offset, and the host's clock when it was first seen."""

    offset_us: int
    since_us: int


@dataclass(slots=True)
class ExchangeClock:
    """The offset of an exchange's clock from this host's: the accepted and the unconfirmed one.

    `former_offset_us` is the offset before the last accepted jump.
    """

    offset_us: int | None = None
    former_offset_us: int | None = None
    unconfirmed: UnconfirmedJump | None = None

    def is_doubtful(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        """Return whether a timestamp is over half an interval (2 to 60 s) off both our clocks.

        Without an estimate of the exchange's clock it may be 5 min off the database's clock.
        """
        limit_us = max_deviation_us(interval_seconds)
        if _is_near(observed_us - now.host_us, self.offset_us, limit_us):
            return False
        if now.exchange_now_us is None:
            gap_us = abs(observed_us - now.database_us)
            return gap_us > MAX_DATABASE_DEVIATION_SECONDS * MICROSECONDS
        return abs(observed_us - now.exchange_now_us) > limit_us

    def is_credible(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        """Return whether to accept a doubtful timestamp that a second answer confirmed.

        It is accepted if it moves towards the database's clock, if it reverts the last accepted
        jump, or if the jump has lasted: an hour if this host's clock contradicts, else an interval
        (at least a minute), also where nothing is known yet. Otherwise the jump is remembered.
        """
        expected_us = (
            now.exchange_now_us if self.offset_us is None else now.host_us + self.offset_us
        )
        if expected_us is None:
            return self._has_lasted(observed_us, now, interval_seconds)
        limit_us = max_deviation_us(interval_seconds)
        if _is_near(observed_us - now.host_us, self.former_offset_us, limit_us):
            return True
        before_us, after_us = (abs(at - now.database_us) for at in (expected_us, observed_us))
        moves_nearer = _moves_nearer(before_us, after_us, limit_us)
        if moves_nearer or self._has_lasted(observed_us, now, interval_seconds):
            self.former_offset_us = self.offset_us
            return True
        return False

    def accept(self, observed_us: int, now: ClockReadings) -> None:
        """Set the offset by a timestamp, and drop an unconfirmed jump."""
        self.unconfirmed = None
        self.offset_us = observed_us - now.host_us

    def differs_from(self, saved: "ExchangeClock") -> bool:
        """Return whether it differs from a saved one by more than the drift of clocks."""
        if self.offset_us is None:
            return self != saved
        is_same = _is_near(self.offset_us, saved.offset_us, DRIFT_SECONDS * MICROSECONDS)
        return not is_same or replace(self, offset_us=saved.offset_us) != saved

    def _has_lasted(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        offset_us = observed_us - now.host_us
        limit_us = max_deviation_us(interval_seconds)
        if self.unconfirmed is None or abs(offset_us - self.unconfirmed.offset_us) > limit_us:
            self.unconfirmed = UnconfirmedJump(offset_us, now.host_us)
        lasted_us = now.host_us - self.unconfirmed.since_us
        probation_seconds = max(interval_seconds, MIN_PROBATION_SECONDS)
        if self.offset_us is not None:
            probation_seconds = LONG_PROBATION_SECONDS
        return lasted_us >= probation_seconds * MICROSECONDS


def _is_near(offset_us: int, known_us: int | None, limit_us: int) -> bool:
    return known_us is not None and abs(offset_us - known_us) <= limit_us


def _moves_nearer(before_us: int, after_us: int, limit_us: int) -> bool:
    """Return whether a jump ends near the database's clock, by its distances before and after."""
    is_near = after_us <= MAX_DATABASE_DEVIATION_SECONDS * MICROSECONDS
    return is_near and after_us + limit_us < before_us


def changed_clocks(
    clocks: Mapping[str, ExchangeClock], saved: Mapping[str, ExchangeClock]
) -> dict[str, ExchangeClock]:
    """Return the clocks that differ from the saved ones, by exchange."""
    unknown = ExchangeClock()
    return {
        name: clock
        for name, clock in clocks.items()
        if clock.differs_from(saved.get(name, unknown))
    }


def max_deviation_us(interval_seconds: int) -> int:
    """Return how far off a timestamp may be without doubt: half an interval, 2 to 60 s."""
    seconds = min(max(interval_seconds // 2, MIN_DEVIATION_SECONDS), MAX_DEVIATION_SECONDS)
    return seconds * MICROSECONDS


def max_ahead_us(interval_seconds: int) -> int:
    """Return how far a chart's clock may be ahead of the estimate: an interval more.

    A price that was stored late makes the estimate earlier by up to an interval.
    """
    return max_deviation_us(interval_seconds) + interval_seconds * MICROSECONDS


def are_consistent(observed_us: int, expected_us: int) -> bool:
    """Return whether a second timestamp is about what the first one predicts."""
    return abs(observed_us - expected_us) <= AGREEMENT_SECONDS * MICROSECONDS
