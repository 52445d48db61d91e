"""The record: bounded, and exact about how dense the requests were."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.simulator import Exchange
from app.simulator.request_log import RequestLog
from tests.simulator.client import Client


def test_record_keeps_the_latest_and_says_that_it_overflowed() -> None:
    record = RequestLog(limit=3)
    for number in range(5):
        record.start("GET", "get_time", {}, number)
    assert [request.received_us for request in record.requests] == [2, 3, 4]
    assert (record.total, record.overflowed) == (5, True)
    record.clear()
    assert (record.total, record.overflowed) == (0, False)


@given(times=st.lists(st.integers(0, 5_000_000), max_size=40))
def test_densest_second_is_found(times: list[int]) -> None:
    record = RequestLog()
    for time_us in times:
        record.start("GET", "get_time", {}, time_us)
    windows = [sum(start <= time < start + 1_000_000 for time in times) for start in times]
    assert record.summary()["max_started_in_a_second"] == max(windows, default=0)


async def test_requests_in_flight_are_counted(exchange: Exchange, client: Client) -> None:
    exchange.set_delay(100)
    await asyncio.gather(*(client.price() for _ in range(5)))
    assert sorted(request.in_flight for request in exchange.requests) == [1, 2, 3, 4, 5]
    assert exchange.request_log.summary()["max_in_flight"] == 5
