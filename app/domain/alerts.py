"""Alerts about tickers that become stale or recover, and about wrong hourly summaries."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple, Self

from app.domain.health import CheckedHours
from app.domain.prices import TickerKey

MAX_PENDING = 1000


class TickerStatus(NamedTuple):
    """A ticker's current status; the reason is empty while it is fresh."""

    key: TickerKey
    is_stale: bool
    age_seconds: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """The body of one webhook call; `at` is in UNIX seconds."""

    event: Literal["ticker_stale", "ticker_recovered", "summaries_wrong", "summaries_right"]
    exchange: str
    ticker: str
    age_seconds: int | None
    reason: str
    at: int
    text: str


@dataclass(slots=True)
class AlertState:
    """What was alerted: why each stale ticker is stale, and the alerts still to be delivered.

    `wrong` maps tickers with wrong hourly summaries to the reason, `wrong_parts` to the starts of
    the wrong chunks. The field names are persisted.
    """

    stale: dict[str, str] = field(default_factory=dict)
    pending: list[Alert] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    wrong_parts: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def load(cls, text: str) -> Self:
        """Parse the JSON of `dump`."""
        state = json.loads(text)
        pending = [Alert(**alert) for alert in state["pending"]]
        return cls(state["stale"], pending, state.get("wrong", {}), state.get("wrong_parts", {}))

    def dump(self) -> str:
        """Serialize it as JSON."""
        return json.dumps(asdict(self))

    def update_tickers(self, statuses: Iterable[TickerStatus], at: int) -> list[Alert]:
        """Queue an alert for each change of status; return those that a full queue drops."""
        for status in statuses:
            if status.is_stale != (str(status.key) in self.stale):
                self.pending.append(self._change_status(status, at))
        return self._drop_oldest()

    def update_summaries(self, checked: Mapping[str, CheckedHours], at: int) -> list[Alert]:
        """Queue an alert where summaries became wrong or right; return dropped alerts.

        Chunks that were not checked keep their status.
        """
        for name, hours in checked.items():
            self._update_wrong_parts(name, hours)
            if (name in self.wrong_parts) != (name in self.wrong):
                self.pending.append(self._toggle_wrong_summaries(name, sum(hours.values()), at))
        return self._drop_oldest()

    def remove_stale_except(self, configured: Iterable[TickerKey]) -> None:
        """Remove stale tickers that are not configured any more; wrong summaries stay."""
        names = set(map(str, configured))
        self.stale = {name: reason for name, reason in self.stale.items() if name in names}

    def _drop_oldest(self) -> list[Alert]:
        dropped = self.pending[:-MAX_PENDING]
        del self.pending[:-MAX_PENDING]
        return dropped

    def _update_wrong_parts(self, name: str, hours: CheckedHours) -> None:
        parts = {*self.wrong_parts.pop(name, []), *hours}
        if wrong := sorted(start for start in parts if hours.get(start) != 0):
            self.wrong_parts[name] = wrong

    def _toggle_wrong_summaries(self, name: str, hours: int, at: int) -> Alert:
        exchange, ticker = TickerKey.parse(name)
        if name in self.wrong:
            text = f"{name}: the hourly summaries are right again"
            reason = self.wrong.pop(name)
            return Alert("summaries_right", exchange, ticker, None, reason, at, text)
        reason = self.wrong[name] = f"{hours} hourly summaries differ from their rows"
        text = f"{name}: {reason}: `python -m app verify --rebuild` mends them"
        return Alert("summaries_wrong", exchange, ticker, None, reason, at, text)

    def _change_status(self, status: TickerStatus, at: int) -> Alert:
        key, age = status.key, status.age_seconds
        age_text = "no live price is known" if age is None else f"the newest slot is {age} s old"
        if status.is_stale:
            self.stale[str(key)] = status.reason
            text = f"{key} is stale: {age_text}: {status.reason}"
            return Alert("ticker_stale", *key, age, status.reason, at, text)
        reason = self.stale.pop(str(key))
        text = f"{key} is fresh again: {age_text}"
        return Alert("ticker_recovered", *key, age, reason, at, text)
