"""Each kind of fault, by its bytes on the wire."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.simulator import Exchange, ExchangeOptions, FaultError, fault_kinds, index_price
from app.simulator.fault_kinds import KINDS
from app.simulator.faulty_responses import _CHANGES, _REPLACEMENTS, _RESPONSES
from tests.simulator.client import Client, until

PRICE = b"GET /api/v2/public/get_index_price?index_name=btc_usd HTTP/1.1\r\nHost: exchange\r\n\r\n"
SECOND_US = 1_000_000


async def raw_response(exchange: Exchange) -> tuple[bytes, bytes]:
    """Ask for a price over a socket; return head and body as they came until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", exchange.listener.port)
    try:
        writer.write(PRICE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return head, body
    finally:
        writer.close()


def content_length(head: bytes) -> int:
    _, _, rest = head.partition(b"Content-Length: ")
    return int(rest.split(b"\r\n")[0])


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        (10028, 429, "too_many_requests"),
        (11051, 503, "system_maintenance"),
        (13028, 400, "temporarily_unavailable"),
        (-32602, 400, "Invalid params"),
        (4711, 400, "error"),
    ],
)
async def test_error_comes_with_its_usual_status(
    exchange: Exchange, client: Client, code: int, status: int, message: str
) -> None:
    exchange.add_fault("error", code=code)
    reply = await client.price()
    assert (reply.status, reply.error) == (status, {"code": code, "message": message})
    assert "result" not in reply.json


async def test_error_may_come_under_any_status(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("error", code=10028, status=200, message="slow", data={"wait": 5})
    reply = await client.price()
    assert reply.status == 200
    assert reply.error == {"code": 10028, "message": "slow", "data": {"wait": 5}}


async def test_html_is_a_bad_gateway(exchange: Exchange) -> None:
    exchange.add_fault("html")
    head, body = await raw_response(exchange)
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"Content-Type: text/html" in head
    assert body.startswith(b"<html>")


async def test_empty_is_a_429_without_a_body(exchange: Exchange) -> None:
    exchange.add_fault("empty")
    head, body = await raw_response(exchange)
    assert head.startswith(b"HTTP/1.1 429 ")
    assert (content_length(head), body) == (0, b"")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_names_the_location(exchange: Exchange, status: int) -> None:
    exchange.add_fault("redirect", location="https://elsewhere.example/", status=status)
    head, _ = await raw_response(exchange)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nLocation: https://elsewhere.example/\r\n" in head


async def test_cut_json_has_an_honest_length(exchange: Exchange) -> None:
    exchange.add_fault("cut")
    head, body = await raw_response(exchange)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert content_length(head) == len(body) > 20
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_cut_connection_ends_before_the_promised_length(exchange: Exchange) -> None:
    exchange.add_fault("cut_connection")
    head, body = await raw_response(exchange)
    assert content_length(head) > len(body) > 20


async def test_reset_is_a_connection_reset(exchange: Exchange) -> None:
    exchange.add_fault("reset")
    with pytest.raises(ConnectionResetError):
        await raw_response(exchange)
    assert exchange.requests[0].answered_us is None


async def test_stall_answers_nothing_and_closes(exchange: Exchange) -> None:
    exchange.add_fault("stall", stall_seconds=0.1)
    started = time.monotonic()
    assert await raw_response(exchange) == (b"", b"")
    assert 0.1 <= time.monotonic() - started < 5
    assert exchange.requests[0].status is None


async def test_dripping_head_never_ends(exchange: Exchange) -> None:
    exchange.add_fault("stall", stall_seconds=0.7, drip=True)
    head, body = await raw_response(exchange)
    assert head.split(b"\r\n")[:2] == [b"HTTP/1.1 200 OK", b"X-Drip: drop"]
    assert body == b""


async def test_client_that_gives_up_is_no_longer_in_flight(
    exchange: Exchange, client: Client
) -> None:
    exchange.add_fault("stall", times=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.price(), 0.5)
    await until(partial(_is_idle, exchange))
    assert exchange.requests[0].answered_us is None


async def test_exchange_closes_promptly_while_a_stall_is_open() -> None:
    async with Exchange(ExchangeOptions(faults=({"kind": "stall"},))) as exchange:
        pending_request = asyncio.create_task(raw_response(exchange))
        await until(partial(_has_requests, exchange))
        started = time.monotonic()
    assert await pending_request == (b"", b"")
    assert time.monotonic() - started < 2


async def test_down_refuses_connections_and_comes_back_on_its_port(
    exchange: Exchange, client: Client
) -> None:
    reply = await client.control("POST", "faults", {"kind": "down", "seconds": 1})
    assert (reply.status, reply.json["kind"]) == (200, "down")
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.control("GET", "state")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", exchange.listener.port)
    await until(partial(_is_ok, client))
    assert (await client.control("GET", "faults")).json == []


async def _has_requests(exchange: Exchange) -> bool:
    return len(exchange.requests) > 0


async def _is_idle(exchange: Exchange) -> bool:
    return not exchange.request_log.summary()["in_flight"]


async def _is_ok(client: Client) -> bool:
    try:
        return (await client.price()).status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_going_down_drops_open_requests() -> None:
    async with Exchange() as exchange:
        exchange.add_fault("stall")
        pending_request = asyncio.create_task(raw_response(exchange))
        await until(partial(_has_requests, exchange))
        exchange.add_fault("down", seconds=0.1)
        assert await pending_request == (b"", b"")


async def test_testnet_is_claimed(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("testnet", times=1)
    assert [(await client.price()).json["testnet"] for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "token", ["60123.456789", "NaN", "Infinity", "0", "-5", "1e13", "null", '"abc"', "-0.0"]
)
async def test_price_is_any_token(exchange: Exchange, client: Client, token: str) -> None:
    exchange.add_fault("price", price=token)
    text = (await client.price()).text
    assert f'"result":{{"index_price":{token},"estimated_delivery_price":{token}}}' in text
    assert exchange.requests[0].price == token


async def test_wrong_type_sends_the_price_as_a_string(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("wrong_type")
    reply = await client.price()
    expected = index_price("btc_usd", reply.json["usOut"] // SECOND_US)
    assert reply.result["index_price"] == str(expected)


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("missing_result", "result"),
        ("without_us_in", "usIn"),
        ("without_us_out", "usOut"),
        ("without_us_diff", "usDiff"),
        ("without_testnet", "testnet"),
        ("without_jsonrpc", "jsonrpc"),
    ],
)
async def test_one_member_is_missing(
    exchange: Exchange, client: Client, kind: str, member: str
) -> None:
    whole = set((await client.price()).json)
    exchange.add_fault(kind)
    assert set((await client.price()).json) == whole - {member}


async def test_id_on_get_carries_an_id(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("id_on_get", request_id=99)
    assert (await client.price()).json["id"] == 99


@pytest.mark.parametrize("body", ["[]", '"text"', "17", "null"])
async def test_not_object_is_another_kind_of_json(
    exchange: Exchange, client: Client, body: str
) -> None:
    exchange.add_fault("not_object", body=body)
    reply = await client.price()
    assert (reply.status, reply.text) == (200, body)
    assert (exchange.requests[0].us_out, exchange.requests[0].price) == (None, None)


async def test_stamp_moves_us_out_alone(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("stamp", off_seconds=-7200.5)
    reply = (await client.price()).json
    assert -7_200_500_000 <= reply["usOut"] - reply["usIn"] < -7_199_000_000
    assert reply["usDiff"] == reply["usOut"] - reply["usIn"]
    assert exchange.requests[0].us_out == reply["usOut"]


async def test_fault_hits_its_index_alone(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("html", index="eth_usd")
    replies = [await client.price(name) for name in ("btc_usd", "eth_usd")]
    assert [reply.status for reply in replies] == [200, 502]


@pytest.mark.parametrize("method", ["get_time", "public/get_time"])
async def test_fault_hits_its_method_alone(exchange: Exchange, client: Client, method: str) -> None:
    exchange.add_fault("html", method=method)
    assert ((await client.price()).status, (await client.get("get_time")).status) == (200, 502)


async def test_fault_hits_so_many_times(exchange: Exchange, client: Client) -> None:
    fault = exchange.add_fault("html", times=2)
    assert [(await client.price()).status for _ in range(4)] == [502, 502, 200, 200]
    assert [request.fault for request in exchange.requests] == [fault.id, fault.id, None, None]


async def test_fault_ends_by_itself(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("html", seconds=0.5)
    assert (await client.price()).status == 502
    await until(partial(_is_ok, client))


async def test_first_fault_that_matches_hits_alone(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("html", times=1)
    exchange.add_fault("empty", times=1)
    assert [(await client.price()).status for _ in range(3)] == [502, 429, 200]


async def test_probability_is_thrown_with_the_seed() -> None:
    def options() -> ExchangeOptions:
        return ExchangeOptions(seed=7, faults=({"kind": "html", "probability": 0.5},))

    async def statuses() -> list[int]:
        async with Exchange(options()) as exchange, aiohttp.ClientSession() as session:
            return [(await Client(exchange, session).price()).status for _ in range(40)]

    first = await statuses()
    assert first == await statuses()
    assert 5 < first.count(502) < 35


async def test_removed_fault_hits_no_more(exchange: Exchange, client: Client) -> None:
    fault = exchange.add_fault("html")
    exchange.faults.remove(fault.id)
    assert (await client.price()).status == 200


async def test_control_api_is_never_hit(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("reset")
    assert (await client.control("GET", "state")).status == 200


async def test_faulty_answer_to_post_keeps_its_id(exchange: Exchange, client: Client) -> None:
    exchange.add_fault("error", code=10040)
    body = {"jsonrpc": "2.0", "id": 5, "method": "public/get_time"}
    assert (await client.post("/api/v2", body)).json["id"] == 5


def test_every_kind_does_something_and_is_documented() -> None:
    assert set(KINDS) == {*_CHANGES, *_REPLACEMENTS, *_RESPONSES, "error", "down"}
    readme = (Path(fault_kinds.__file__).parent / "README.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in readme] == []


BAD_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, "kind"),
    ({"kind": "nonsense"}, "kind"),
    ({"kind": ["html"]}, "kind"),
    ({"kind": "html", "colour": "red"}, "colour"),
    ({"kind": "html", "status": 99}, "status"),
    ({"kind": "html", "status": "502"}, "status"),
    ({"kind": "html", "times": 0}, "times"),
    ({"kind": "html", "times": True}, "times"),
    ({"kind": "html", "probability": 1.5}, "probability"),
    ({"kind": "html", "seconds": -1}, "seconds"),
    ({"kind": "html", "index": ""}, "index"),
    ({"kind": "error"}, "code"),
    ({"kind": "error", "code": "10028"}, "code"),
    ({"kind": "redirect"}, "location"),
    ({"kind": "redirect", "location": "x", "status": 200}, "status"),
    ({"kind": "down"}, "seconds"),
    ({"kind": "down", "seconds": 1, "times": 1}, "times"),
    ({"kind": "price"}, "price"),
    ({"kind": "price", "price": 5}, "price"),
    ({"kind": "price", "price": "5", "method": "get_time"}, "method"),
    ({"kind": "stamp", "off_seconds": "x"}, "off_seconds"),
    ({"kind": "stamp", "off_seconds": float("nan")}, "off_seconds"),
    ({"kind": "stall", "stall_seconds": float("inf")}, "stall_seconds"),
    ({"kind": "redirect", "location": "/\r\nX: y"}, "location"),
    ({"kind": "not_object", "body": "\ud800"}, "body"),
    ({"kind": "stall", "drip": 1}, "drip"),
]


@pytest.mark.parametrize(
    ("fault", "message"), BAD_FAULTS, ids=[json.dumps(fault) for fault, _ in BAD_FAULTS]
)
async def test_senseless_fault_is_refused_by_name(
    client: Client, fault: dict[str, Any], message: str
) -> None:
    reply = await client.control("POST", "faults", fault)
    assert reply.status == 400
    assert reply.json["error"].startswith(f"{message}: ")
    assert (await client.control("GET", "faults")).json == []


async def test_senseless_fault_raises_in_process(exchange: Exchange) -> None:
    with pytest.raises(FaultError, match="kind: 'nonsense'"):
        exchange.add_fault("nonsense")
