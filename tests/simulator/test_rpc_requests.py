"""How a request may come: by GET, or as JSON-RPC by POST."""

import json

import pytest

from app.simulator import Exchange
from tests.simulator.client import Client

ROOT = "/api/v2"
PRICE = "/api/v2/public/get_index_price"


def rpc(**members: object) -> dict[str, object]:
    return {
        "jsonrpc": "2.0",
        "id": 17,
        "method": "public/get_index_price",
        "params": {"index_name": "btc_usd"},
        **members,
    }


async def test_reply_to_get_carries_no_id(client: Client) -> None:
    assert "id" not in (await client.price()).json


@pytest.mark.parametrize("path", [ROOT, PRICE])
@pytest.mark.parametrize("request_id", [17, "seventeen", 0, 'qu"ote'])
async def test_reply_to_post_echoes_the_id(client: Client, path: str, request_id: object) -> None:
    reply = await client.post(path, rpc(id=request_id))
    assert (reply.status, reply.json["id"]) == (200, request_id)
    assert set(reply.result) == {"index_price", "estimated_delivery_price"}


async def test_error_to_post_echoes_the_id(client: Client) -> None:
    reply = await client.post(ROOT, rpc(params={}))
    assert (reply.json["id"], reply.error["code"]) == (17, -32000)


async def test_params_may_be_left_out(client: Client) -> None:
    reply = await client.post(ROOT, {"jsonrpc": "2.0", "id": 1, "method": "public/get_time"})
    assert isinstance(reply.result, int)


async def test_get_may_carry_a_json_rpc_body(client: Client) -> None:
    reply = await client.send("GET", ROOT, json.dumps(rpc()))
    assert (reply.status, reply.json["id"]) == (200, 17)


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "public/get_time"},
        rpc(id=None),
        rpc(id=1.5),
        rpc(id=True),
        rpc(params=["btc_usd"]),
        [rpc(), rpc()],
        "public/get_time",
    ],
    ids=["no id", "null id", "broken id", "boolean id", "positional", "batch", "string"],
)
async def test_what_deribit_does_not_support_is_a_bad_request(client: Client, body: object) -> None:
    reply = await client.send("POST", ROOT, json.dumps(body))
    assert (reply.status, reply.error["code"]) == (400, 11050)


@pytest.mark.parametrize("body", ["", "{", "{'id': 1}", "[" * 20_000])
async def test_body_that_is_no_json_is_a_parse_error(client: Client, body: str) -> None:
    reply = await client.post(ROOT, body)
    assert (reply.status, reply.error) == (400, {"code": -32700, "message": "Parse error"})


async def test_body_over_32_kb_is_too_large(client: Client) -> None:
    reply = await client.post(ROOT, rpc(filler="x" * 32_000))
    assert reply.status == 400
    assert reply.error == {"code": -32600, "message": "request entity too large"}


async def test_names_of_params_are_case_sensitive(client: Client) -> None:
    assert (await client.get("get_index_price", Index_Name="btc_usd")).error["code"] == -32000


@pytest.mark.parametrize("path", ["/", "/api/v1/public/get_time", "/api/v2x", "/control"])
async def test_other_paths_are_not_there(client: Client, path: str) -> None:
    assert (await client.send("GET", path)).status == 404


async def test_other_verbs_are_not_there(client: Client, exchange: Exchange) -> None:
    assert (await client.send("PUT", PRICE)).status == 404
    assert not exchange.requests
