"""Alerts: what is told when a ticker goes stale, and when it recovers."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple, Self

from app.domain.freshness import CheckedHours
from app.domain.prices import TickerKey

MAX_PENDING = 1000


class TickerStatus(NamedTuple):
    """What is thought of a ticker now; the reason is empty while it is fresh."""

    key: TickerKey
    is_stale: bool
    age_seconds: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One call of the endpoint, as it is sent; `at` is in UNIX seconds."""

    event: Literal["ticker_stale", "ticker_recovered", "summaries_wrong", "summaries_right"]
    exchange: str
    ticker: str
    age_seconds: int | None
    reason: str
    at: int
    text: str


@dataclass(slots=True)
class AlertState:
    """What was told: why each stale ticker is stale, and the alerts that are not delivered yet.

    `wrong` holds the tickers whose hourly summaries are, with the reason that was told, and
    `wrong_parts` the starts of the chunks that were found wrong and not yet right again.
    """

    stale: dict[str, str] = field(default_factory=dict)
    pending: list[Alert] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    wrong_parts: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str) -> Self:
        """Take from text what `dump` made."""
        known = json.loads(text)
        pending = [Alert(**alert) for alert in known["pending"]]
        wrong, parts = known.get("wrong", {}), known.get("wrong_parts", {})
        return cls(known["stale"], pending, wrong, parts)

    def dump(self) -> str:
        """Write it as text."""
        return json.dumps(asdict(self))

    def update_tickers(self, verdicts: Iterable[TickerStatus], at: int) -> list[Alert]:
        """Note what changed; give the alerts that too long a queue had no place for."""
        for verdict in verdicts:
            if verdict.is_stale != (str(verdict.key) in self.stale):
                self.pending.append(self._turn(verdict, at))
        return self._drop_oldest()

    def update_summaries(self, checked: Mapping[str, CheckedHours], at: int) -> list[Alert]:
        """Note whose hourly summaries became wrong or right; give the alerts without a place.

        What is not among the checked chunks stays as it was: only a check can put it right.
        """
        for name, found in checked.items():
            self._note_parts(name, found)
            if (name in self.wrong_parts) != (name in self.wrong):
                self.pending.append(self._judge_summaries(name, sum(found.values()), at))
        return self._drop_oldest()

    def remove_others(self, keys: Iterable[TickerKey]) -> None:
        """Forget the tickers that are watched no more; what is wrong stays until a check."""
        watched = set(map(str, keys))
        self.stale = {key: reason for key, reason in self.stale.items() if key in watched}

    def _drop_oldest(self) -> list[Alert]:
        dropped = self.pending[:-MAX_PENDING]
        del self.pending[:-MAX_PENDING]
        return dropped

    def _note_parts(self, name: str, found: CheckedHours) -> None:
        parts = {*self.wrong_parts.pop(name, []), *found}
        if wrong := sorted(start for start in parts if found.get(start, 1)):
            self.wrong_parts[name] = wrong

    def _judge_summaries(self, name: str, hours: int, at: int) -> Alert:
        exchange, ticker = TickerKey.parse(name)
        if name in self.wrong:
            text = f"{name}: the hourly summaries are right again"
            reason = self.wrong.pop(name)
            return Alert("summaries_right", exchange, ticker, None, reason, at, text)
        reason = self.wrong[name] = f"{hours} hourly summaries differ from their rows"
        text = f"{name}: {reason}: `python -m app verify --rebuild` mends them"
        return Alert("summaries_wrong", exchange, ticker, None, reason, at, text)

    def _turn(self, verdict: TickerStatus, at: int) -> Alert:
        key, age = verdict.key, verdict.age_seconds
        old = "no live price is known" if age is None else f"the newest slot is {age} s old"
        if verdict.is_stale:
            self.stale[str(key)] = verdict.reason
            text = f"{key} is stale: {old}: {verdict.reason}"
            return Alert("ticker_stale", *key, age, verdict.reason, at, text)
        reason = self.stale.pop(str(key))
        return Alert("ticker_recovered", *key, age, reason, at, f"{key} is fresh again: {old}")


def alert_payload(alert: Alert) -> Mapping[str, object]:
    """Give the JSON object that is sent."""
    return asdict(alert)
