"""Freshness: how old a ticker's newest price is, and in plain words why it is too old."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from app.domain.prices import TickerKey

SHORTEST_SILENCE_SECONDS = 5.0
LONGEST_SILENCE_SECONDS = 30.0
SHORTEST_NOTE_SECONDS = 10.0
NO_ANSWER_IN_TIME = "no answer in time"
DOES_NOT_ANSWER = "PostgreSQL does not answer"
STATEMENT_ENDED = "PostgreSQL ended a statement"
"""How the words begin in which app/db/faults.py tells these two troubles."""
NO_REASON = "nothing reported a failure: the logs of beat and worker tell more"
DISK_FULL = "database_full"
WORST_CLOCK_SECONDS = 55 * 60
"""A stamp an hour away from the database's clock is refused; this warns before."""

CheckedHours: TypeAlias = Mapping[int, int]
"""How many hours of a chunk are wrong, by the chunk's start in UNIX seconds; 0 if all are right."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of a ticker's newest live slot in seconds, None while there is none, or unknown."""

    key: TickerKey
    age_seconds: int | None
    is_fresh: bool


class Clocks(NamedTuple):
    """How many seconds two clocks are ahead of an exchange's: the database's and this server's."""

    exchange: str
    database_seconds: float
    server_seconds: float

    def __str__(self) -> str:
        database, server = _off(self.database_seconds), _off(self.server_seconds)
        return f"the database's clock is {database} {self.exchange}'s, this server's {server} it"


class Failure(NamedTuple):
    """Why a ticker could not be collected; since when and when last, in seconds before now."""

    code: str
    detail: str
    since_seconds: float
    noted_seconds: float


@dataclass(frozen=True, slots=True)
class Signs:
    """The seconds since the sign of life of each beat and worker; failures, by ticker.

    `checked_hours` tells of each ticker how many hourly summaries the last checks found wrong.
    """

    beats: Mapping[str, float] = field(default_factory=dict)
    workers: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    checked_hours: Mapping[str, CheckedHours] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """What one look found; `signs` are None while Redis is away, a trouble is empty if none."""

    interval_seconds: int
    tickers: Sequence[Freshness]
    clocks: Sequence[Clocks] = ()
    signs: Signs | None = None
    database_trouble: str = ""
    broker_trouble: str = ""

    @property
    def is_fresh(self) -> bool:
        """Tell whether every ticker is."""
        return all(ticker.is_fresh for ticker in self.tickers)

    def beat_trouble(self) -> str:
        """Tell in words whether beat is silent; empty if not, or if nothing is known."""
        if self.signs is None:
            return ""
        if not self.signs.beats:
            return "" if self.is_fresh else "no beat has reported"
        silence = min(self.signs.beats.values())
        return f"beat has been silent for {silence:.0f} s" if self._is_silent(silence) else ""

    def worker_trouble(self) -> str:
        """Tell in words whether every worker is silent; empty if not, or if nothing is known."""
        if self.signs is None:
            return ""
        if not self.signs.workers:
            return "" if self.is_fresh else "no worker has reported"
        silence = min(self.signs.workers.values())
        return f"no worker has reported for {silence:.0f} s" if self._is_silent(silence) else ""

    def silent_workers(self) -> Mapping[str, float]:
        """Name the workers that are silent, and for how many seconds."""
        workers = self.signs.workers if self.signs else {}
        return {name: silence for name, silence in workers.items() if self._is_silent(silence)}

    def reason(self, key: TickerKey) -> str:
        """Tell in words why a ticker is stale; what all the rest depends on comes first."""
        return next(filter(None, self._reasons(key)), NO_REASON)

    def _reasons(self, key: TickerKey) -> Iterator[str]:
        failures = self._lasting_failures()
        yield self._database_reason()
        is_full = any(failure.code == DISK_FULL for failure in failures.values())
        yield "the database refuses writes: disk full" if is_full else ""
        yield _broker_words(self.broker_trouble)
        yield self.beat_trouble()
        yield self.worker_trouble()
        if failure := failures.get(str(key)):
            yield f"{failure.code} ({failure.detail}) since {failure.since_seconds:.0f} s"

    def _database_reason(self) -> str:
        if self.database_trouble == NO_ANSWER_IN_TIME:
            return "the database gave no answer in time"  # it may be there, and a table locked
        if self.database_trouble.startswith(STATEMENT_ENDED):
            return "the database ends what it is asked"
        if not self.database_trouble or DOES_NOT_ANSWER in self.database_trouble:
            return "the database is away" if self.database_trouble else ""
        return f"the database can't be read ({self.database_trouble})"

    def _lasting_failures(self) -> Mapping[str, Failure]:
        lasts, known = failure_lasts_seconds(self.interval_seconds), self.signs
        failures = known.failures if known else {}
        return {key: one for key, one in failures.items() if one.noted_seconds <= lasts}

    def _is_silent(self, seconds: float) -> bool:
        return seconds > silent_after_seconds(self.interval_seconds)


def silent_after_seconds(interval_seconds: int) -> float:
    """Tell after how long without a sign of life a process is called silent."""
    return min(max(SHORTEST_SILENCE_SECONDS, interval_seconds / 2), LONGEST_SILENCE_SECONDS)


def failure_lasts_seconds(interval_seconds: int) -> float:
    """Tell how long a failure is believed that nobody notes again.

    A ticker that fails is noted once an interval. What was noted before a price was stored is
    over when that price gets stale, two intervals later.
    """
    return max(SHORTEST_NOTE_SECONDS, 2.0 * interval_seconds)


def _broker_words(trouble: str) -> str:
    if not trouble or " refuses " in trouble:
        return trouble
    return "the broker is away"


def _off(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'behind' if seconds < 0 else 'ahead of'}"
