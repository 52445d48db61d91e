"""The log of the requests to the exchange and of its answers."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

_SECOND_US: Final = 1_000_000


@dataclass(slots=True)
class RequestRecord:
    """One request to the exchange; the received and answered times are the machine's own.

    What was not sent is None: an unanswered request has neither `answered_us` nor `status`.
    """

    method: str
    params: Mapping[str, Any]
    received_us: int
    in_flight: int  # at its arrival, itself included
    http_method: str = "GET"
    index: str | None = None
    answered_us: int | None = None
    us_out: int | None = None
    price: str | None = None
    status: int | None = None
    fault: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the control API."""
        return {name: getattr(self, name) for name in self.__slots__}


class RequestLog:
    """The latest requests, oldest first; what no longer fits is only counted."""

    def __init__(self, limit: int = 200_000) -> None:
        """Make room for the limit."""
        self.limit = limit
        self.total = self.in_flight = 0
        self.requests: deque[RequestRecord] = deque(maxlen=limit)

    @property
    def overflowed(self) -> bool:
        """Say whether requests were dropped since the record was cleared."""
        return self.total > len(self.requests)

    def start(
        self, http_method: str, method: str, params: Mapping[str, Any], received_us: int
    ) -> RequestRecord:
        """Enter a request that has arrived."""
        self.total += 1
        self.in_flight += 1
        index = params.get("index_name")
        request = RequestRecord(method, params, received_us, self.in_flight, http_method)
        request.index = index if isinstance(index, str) else None
        self.requests.append(request)
        return request

    def finish(self) -> None:
        """Note that a request has ended, answered or not."""
        self.in_flight -= 1

    def latest(self, count: int) -> list[RequestRecord]:
        """Return the latest requests that are kept, oldest first."""
        return list(islice(self.requests, max(len(self.requests) - count, 0), None))

    def clear(self) -> None:
        """Forget every request; those in flight remain counted as in flight."""
        self.requests.clear()
        self.total = 0

    def summary(self) -> dict[str, Any]:
        """Count the requests and find how dense they were."""
        requests = self.requests
        return {
            "total": self.total,
            "overflowed": self.overflowed,
            "by_method": dict(Counter(request.method for request in requests)),
            "by_index": dict(Counter(request.index for request in requests if request.index)),
            "by_status": dict(Counter(str(request.status) for request in requests)),
            "in_flight": self.in_flight,
            "max_in_flight": max((request.in_flight for request in requests), default=0),
            "max_started_in_a_second": _max_in_one_second(
                request.received_us for request in requests
            ),
        }


def _max_in_one_second(times_us: Iterable[int]) -> int:
    """Return the most times that lie within any window of one second."""
    window: deque[int] = deque()
    most = 0
    for time_us in sorted(times_us):
        window.append(time_us)
        while time_us - window[0] >= _SECOND_US:
            window.popleft()
        most = max(most, len(window))
    return most
