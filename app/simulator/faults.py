"""The faults in force: whom each hits, how often and until when."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from app.simulator.fault_kinds import parse


@dataclass(slots=True)
class Fault:
    """A fault in force; `details` are the fields of its kind."""

    id: int
    kind: str
    details: Mapping[str, Any]
    method: str | None = None
    index: str | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float | None = None
    added_at: float = field(default_factory=time.monotonic)
    hits: int = 0

    @property
    def has_ended(self) -> bool:
        """Say whether the fault has ended by itself."""
        late = self.seconds is not None and time.monotonic() >= self.added_at + self.seconds
        return late or (self.times is not None and self.hits >= self.times)

    def matches(self, method: str, index: str | None) -> bool:
        """Say whether a request is one that this fault may hit."""
        meant = self.method in (None, method) and self.index in (None, index)
        return meant and self.kind != "down"  # which hits the socket, not a request

    def as_json(self) -> dict[str, Any]:
        """Return what is known of the fault, without what was left open."""
        names = ("id", "kind", "method", "index", "times", "probability", "seconds", "hits")
        known = {**{name: getattr(self, name) for name in names}, **self.details}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(slots=True)
class FaultRegistry:
    """The faults in force, oldest first; the first that concerns a request hits it, alone."""

    rng: Random
    _faults: dict[int, Fault] = field(default_factory=dict)
    _last_id: int = 0

    def add(self, description: Mapping[str, Any]) -> Fault:
        """Add a fault from its description; raise FaultError if it makes no sense."""
        fields = parse(description)
        self._last_id += 1
        fault = self._faults[self._last_id] = Fault(id=self._last_id, **fields)
        return fault

    def pick(self, method: str, index: str | None) -> Fault | None:
        """Return the fault that hits a request, if any, and count the hit."""
        for fault in self.active():
            if fault.matches(method, index) and self.rng.random() < fault.probability:
                fault.hits += 1
                return fault
        return None

    def get(self, fault_id: int) -> Fault | None:
        """Return a fault in force by its id."""
        self.active()
        return self._faults.get(fault_id)

    def remove(self, fault_id: int) -> None:
        """Remove a fault; one that ended by itself is no error."""
        self._faults.pop(fault_id, None)

    def clear(self) -> None:
        """Remove every fault."""
        self._faults.clear()

    def active(self) -> list[Fault]:
        """Return the faults that have not ended yet, and forget the others."""
        self._faults = {key: fault for key, fault in self._faults.items() if not fault.has_ended}
        return list(self._faults.values())
