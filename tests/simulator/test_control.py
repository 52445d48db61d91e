"""The control API: what it changes, what it tells, what it refuses."""

import time
from decimal import Decimal

import pytest

from app.simulator import Exchange, index_price
from tests.simulator.client import Client

HOUR_US = 3_600_000_000


async def test_state_tells_everything_that_can_be_steered(
    exchange: Exchange, client: Client
) -> None:
    state = (await client.control("GET", "state")).json
    assert state == {
        "url": exchange.url,
        "testnet": False,
        "clock": {"offset_ms": 0, "jitter_ms": [0, 0]},
        "delay": {"fixed_ms": 0, "random_ms": [0, 0]},
        "chart_steps": {
            "1h": 6,
            "1d": 60,
            "2d": 300,
            "1m": 3_600,
            "1y": 86_400,
            "all": 86_400,
        },
        "prices": {},
        "faults": [],
        "requests": {"total": 0, "in_flight": 0, "overflowed": False},
    }


async def test_fault_is_added_read_and_removed(client: Client) -> None:
    added = (await client.control("POST", "faults", {"kind": "html", "times": 3})).json
    assert added == {
        "id": 1,
        "kind": "html",
        "times": 3,
        "probability": 1.0,
        "hits": 0,
        "status": 502,
    }
    await client.price()
    assert (await client.control("GET", "faults/1")).json["hits"] == 1
    assert (await client.control("DELETE", "faults/1")).json["id"] == 1
    assert (await client.control("GET", "faults/1")).status == 404
    assert (await client.control("DELETE", "faults/1")).status == 404
    assert (await client.price()).status == 200


async def test_all_faults_are_removed_at_once(client: Client) -> None:
    for kind in ("html", "empty"):
        await client.control("POST", "faults", {"kind": kind})
    removed = (await client.control("DELETE", "faults")).json
    assert [fault["kind"] for fault in removed] == ["html", "empty"]
    assert (await client.control("GET", "faults")).json == []


async def test_wrong_clock_shifts_stamps_time_and_price(client: Client) -> None:
    clock = {"offset_ms": -3_600_000}
    assert (await client.control("PUT", "clock", clock)).json == clock | {"jitter_ms": [0, 0]}
    true_us = time.time_ns() // 1_000
    reply = await client.price()
    assert 0 <= reply.json["usIn"] - (true_us - HOUR_US) < 60_000_000
    assert reply.result["index_price"] == index_price("btc_usd", reply.json["usOut"] // 1_000_000)
    assert (await client.get("get_time")).result * 1_000 < true_us - HOUR_US // 2


async def test_record_keeps_the_true_time(exchange: Exchange, client: Client) -> None:
    exchange.set_clock(offset_ms=3_600_000)
    true_us = time.time_ns() // 1_000
    reply = await client.price()
    (request,) = exchange.requests
    assert request.answered_us is not None
    assert true_us <= request.received_us <= request.answered_us <= time.time_ns() // 1_000
    assert request.us_out == reply.json["usOut"] > true_us + HOUR_US // 2


async def test_jitter_is_drawn_anew_within_its_range(exchange: Exchange, client: Client) -> None:
    exchange.set_clock(jitter_ms=(-5_000_000, -1_000_000))
    shifts = []
    for _ in range(5):
        await client.price()
        request = exchange.requests[-1]
        assert request.us_out is not None
        shifts.append((request.us_out - request.received_us) / 1_000)
    assert all(-5_000_000 <= shift <= -999_000 for shift in shifts)
    assert len(set(shifts)) == 5


async def test_delay_holds_every_answer_back(exchange: Exchange, client: Client) -> None:
    delay = {"fixed_ms": 30, "random_ms": [10, 20]}
    assert (await client.control("PUT", "delay", delay)).json == delay
    assert (await client.price()).json["usDiff"] >= 40_000
    exchange.set_delay()
    assert (await client.price()).json["usDiff"] < 40_000


async def test_chart_step_is_changed(client: Client) -> None:
    assert (await client.control("PUT", "chart-steps", {"1d": 900})).json["1d"] == 900
    points = (await client.get("get_index_chart_data", index_name="btc_usd", range="1d")).result
    assert points[1][0] - points[0][0] == 900_000


@pytest.mark.parametrize("token", ["60123.456789", "NaN", "0", "-5", "1e13", "null", '"abc"'])
async def test_pinned_price_is_sent_as_it_is(
    exchange: Exchange, client: Client, token: str
) -> None:
    body = {"price": token}
    assert (await client.control("PUT", "prices/btc_usd", body)).json == {"btc_usd": token}
    assert f'"index_price":{token},' in (await client.price()).text
    assert f'"index_price":{token},' not in (await client.price("eth_usd")).text
    assert exchange.requests[0].price == token
    assert (await client.control("DELETE", "prices/btc_usd")).json == {}
    assert isinstance((await client.price()).result["index_price"], Decimal)


async def test_requests_are_recorded(client: Client) -> None:
    reply = await client.price("eth_usd")
    body = {"jsonrpc": "2.0", "id": 1, "method": "public/nothing", "params": {"a": 1.50}}
    await client.post("/api/v2", body)
    record = (await client.control("GET", "requests")).json
    assert (record["total"], record["overflowed"]) == (2, False)
    first, second = record["requests"]
    assert first["received_us"] <= first["answered_us"]
    del first["received_us"], first["answered_us"]
    assert first == {
        "method": "get_index_price",
        "http_method": "GET",
        "params": {"index_name": "eth_usd"},
        "index": "eth_usd",
        "in_flight": 1,
        "us_out": reply.json["usOut"],
        "price": str(reply.result["index_price"]),
        "status": 200,
        "fault": None,
    }
    assert (second["method"], second["http_method"], second["status"]) == ("nothing", "POST", 400)
    assert second["params"] == {"a": 1.5}


async def test_latest_requests_are_read_alone(client: Client) -> None:
    for index in ("btc_usd", "eth_usd", "sol_usdc"):
        await client.price(index)
    record = (await client.control("GET", "requests?limit=2")).json
    assert [request["index"] for request in record["requests"]] == ["eth_usd", "sol_usdc"]


async def test_record_is_cleared(client: Client) -> None:
    await client.price()
    assert (await client.control("DELETE", "requests")).json == {"total": 0}
    assert (await client.control("GET", "requests")).json["requests"] == []


async def test_summary_counts_the_requests(exchange: Exchange, client: Client) -> None:
    for index in ("btc_usd", "btc_usd", "none_such"):
        await client.price(index)
    await client.get("get_time")
    assert (await client.control("GET", "requests/summary")).json == exchange.request_log.summary()
    summary = exchange.request_log.summary()
    assert 1 <= summary.pop("max_started_in_a_second") <= 4
    assert summary == {
        "total": 4,
        "overflowed": False,
        "by_method": {"get_index_price": 3, "get_time": 1},
        "by_index": {"btc_usd": 2, "none_such": 1},
        "by_status": {"200": 3, "400": 1},
        "in_flight": 0,
        "max_in_flight": 1,
    }


@pytest.mark.parametrize(
    ("verb", "path", "body", "message"),
    [
        ("PUT", "clock", {"offset": 1}, "offset: not a field here"),
        ("PUT", "clock", {"offset_ms": "1"}, "offset_ms: '1' is not a number"),
        ("PUT", "clock", {"offset_ms": True}, "offset_ms: True is not a number"),
        ("PUT", "clock", {"jitter_ms": 5}, "jitter_ms: 5 is not a list of two numbers"),
        ("PUT", "clock", {"jitter_ms": [5, 1]}, "a range must ascend"),
        ("PUT", "clock", {"jitter_ms": [0, None]}, "jitter_ms: None is not a number"),
        ("PUT", "delay", {"fixed_ms": -1}, "delay: -1 ms is below 0"),
        ("PUT", "delay", [], "the body is not a JSON object"),
        ("PUT", "chart-steps", {"3d": 60}, "chart step: '3d' is none of"),
        ("PUT", "chart-steps", {"1d": 0}, "chart step of 1d: 0 is not"),
        ("PUT", "prices/none_such", {"price": "1"}, "none_such: not an index"),
        ("PUT", "prices/btc_usd", {"price": 1}, "price: 1 is not the JSON text"),
        ("PUT", "prices/btc_usd", {}, "price: None is not the JSON text"),
        ("GET", "requests?limit=x", None, "limit: 'x' is not a count"),
    ],
)
async def test_senseless_order_is_refused_with_its_reason(
    client: Client, verb: str, path: str, body: object, message: str
) -> None:
    reply = await client.control(verb, path, body)
    assert reply.status == 400
    assert reply.json["error"].startswith(message)


async def test_number_without_end_is_refused(client: Client) -> None:
    body = '{"offset_ms": NaN}'
    reply = await client.send("PUT", "/control/clock", data=body)
    assert reply.status == 400
    assert (await client.price()).status == 200


async def test_body_that_is_no_json_is_refused(client: Client) -> None:
    reply = await client.send("PUT", "/control/clock", data="{")
    assert (reply.status, reply.json) == (400, {"error": "the body is not JSON"})


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("GET", "faults/x", 404),
        ("PUT", "state", 405),
        ("POST", "clock", 405),
        ("DELETE", "prices/btc_usd", 404),
    ],
)
async def test_wrong_way_is_told(client: Client, verb: str, path: str, status: int) -> None:
    reply = await client.control(verb, path)
    assert reply.status == status
    assert reply.json["error"]
