"""Stamps of an exchange: which are believed at once, and which must prove themselves.

Three clocks are compared: the exchange's, the database's, and the one of this host that nobody
sets. A stamp that fits what either of ours lets expect is believed, for then it was the other one
that was set. docs/adr/0015 holds the simulation behind these rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.domain.slots import MICROSECONDS

MIN_DOUBT_SECONDS = 2
MAX_DOUBT_SECONDS = 60
MAX_DATABASE_DOUBT_SECONDS = 300
AGREEMENT_SECONDS = 5
MIN_PROBATION_SECONDS = 60
LONG_PROBATION_SECONDS = 3_600
DRIFT_SECONDS = 1


class ClockReadings(NamedTuple):
    """What our clocks say when an answer arrives, in microseconds.

    `exchange_now_us` is the exchange's clock, estimated from its last stored timestamp; None if
    there is none, or if the database's clock was set back since. `host_us` counts from the start of
    the host.
    """

    exchange_now_us: int | None
    database_us: int
    host_us: int


class UnconfirmedJump(NamedTuple):
    """A jump that is not believed: where it led, and the host's clock when it was first seen."""

    offset_us: int
    since_us: int


@dataclass(slots=True)
class ExchangeClock:
    """How far an exchange's clock is ahead of this host's, as believed and as doubted.

    `former_offset_us` is where it was before the last jump that was believed.
    """

    offset_us: int | None = None
    former_offset_us: int | None = None
    doubt: UnconfirmedJump | None = None

    def is_doubtful(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        """Tell whether a stamp is further than half an interval (2 to 60 s) from both our clocks.

        Where nothing tells of the present, the database's clock does, and 5 min are allowed.
        """
        limit_us = max_deviation_us(interval_seconds)
        if _is_near(observed_us - now.host_us, self.offset_us, limit_us):
            return False
        if now.exchange_now_us is None:
            gap_us = abs(observed_us - now.database_us)
            return gap_us > MAX_DATABASE_DOUBT_SECONDS * MICROSECONDS
        return abs(observed_us - now.exchange_now_us) > limit_us

    def is_credible(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        """Tell whether a doubtful stamp, which a second answer confirmed, is believed all the same.

        It is where nothing contradicts it, where it leads towards the database's clock, where it
        takes back the last jump that was believed, and where the jump lasted: an hour where this
        host's clock contradicts, else an interval (at least a minute). What is not believed is
        remembered.
        """
        if self.offset_us is None and now.exchange_now_us is None:
            return True
        limit_us = max_deviation_us(interval_seconds)
        if _is_near(observed_us - now.host_us, self.former_offset_us, limit_us):
            return True
        leads_back = self._leads_back(observed_us, now, limit_us)
        if leads_back or self._has_lasted(observed_us, now, interval_seconds):
            self.former_offset_us = self.offset_us
            return True
        return False

    def believe(self, observed_us: int, now: ClockReadings) -> None:
        """Take a stamp for the exchange's clock, and forget what was doubted."""
        self.doubt = None
        self.offset_us = observed_us - now.host_us

    def differs_from(self, kept: "ExchangeClock") -> bool:
        """Tell whether it says something else than another one, beyond the drift of clocks."""
        if self.offset_us is None:
            return self != kept
        is_same = _is_near(self.offset_us, kept.offset_us, DRIFT_SECONDS * MICROSECONDS)
        return not is_same or replace(self, offset_us=kept.offset_us) != kept

    def _leads_back(self, observed_us: int, now: ClockReadings, limit_us: int) -> bool:
        """Tell whether a jump ends near the database's clock, and nearer than it began."""
        supposed_us = (
            now.exchange_now_us if self.offset_us is None else now.host_us + self.offset_us
        ) or 0
        before_us = abs(supposed_us - now.database_us)
        after_us = abs(observed_us - now.database_us)
        is_near = after_us <= MAX_DATABASE_DOUBT_SECONDS * MICROSECONDS
        return is_near and after_us + limit_us < before_us

    def _has_lasted(self, observed_us: int, now: ClockReadings, interval_seconds: int) -> bool:
        offset_us = observed_us - now.host_us
        limit_us = max_deviation_us(interval_seconds)
        if self.doubt is None or abs(offset_us - self.doubt.offset_us) > limit_us:
            self.doubt = UnconfirmedJump(offset_us, now.host_us)
        lasted_us = now.host_us - self.doubt.since_us
        return lasted_us >= self._probation_seconds(interval_seconds) * MICROSECONDS

    def _probation_seconds(self, interval_seconds: int) -> int:
        if self.offset_us is not None:
            return LONG_PROBATION_SECONDS
        return max(interval_seconds, MIN_PROBATION_SECONDS)


def _is_near(offset_us: int, known_us: int | None, limit_us: int) -> bool:
    return known_us is not None and abs(offset_us - known_us) <= limit_us


def changed_clocks(
    clocks: Mapping[str, ExchangeClock], kept: Mapping[str, ExchangeClock]
) -> dict[str, ExchangeClock]:
    """Give the clocks that say something else than those that were kept."""
    unknown = ExchangeClock()
    return {
        name: clock for name, clock in clocks.items() if clock.differs_from(kept.get(name, unknown))
    }


def max_deviation_us(interval_seconds: int) -> int:
    """Tell how far from where it is expected a stamp is doubted: half an interval, 2 to 60 s."""
    return min(max(interval_seconds // 2, MIN_DOUBT_SECONDS), MAX_DOUBT_SECONDS) * MICROSECONDS


def max_ahead_us(interval_seconds: int) -> int:
    """Tell how far ahead of the supposed present a chart is believed: an interval more.

    By so much a price that was stored late makes the present seem earlier than it is.
    """
    return max_deviation_us(interval_seconds) + interval_seconds * MICROSECONDS


def agree(observed_us: int, expected_us: int) -> bool:
    """Tell whether a second stamp is what the first one lets expect."""
    return abs(observed_us - expected_us) <= AGREEMENT_SECONDS * MICROSECONDS
