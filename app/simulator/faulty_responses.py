"""The responses of the exchange, whole or as a fault changes them."""

import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web

from app.simulator.faults import Fault
from app.simulator.json_rpc import Members, encode
from app.simulator.methods import price_result

_JSON: Final = {"Content-Type": "application/json"}
_HTML: Final = {"Content-Type": "text/html"}
_PAGE: Final = b"<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"
_DRIP_SECONDS: Final = 0.2
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


@dataclass(slots=True)
class Answer:
    """An answer to be sent; status 0 means that none was sent."""

    members: Members
    status: int = HTTPStatus.OK
    price: str | None = None

    def body(self) -> bytes:
        """Write the envelope."""
        return encode(self.members).encode()

    def drop(self, status: int) -> None:
        """Discard the envelope: something else is sent with this status, or nothing with 0."""
        self.members, self.status, self.price = {}, status, None


@dataclass(frozen=True, slots=True)
class FaultyDelivery:
    """An answer, the request that it is for, and the details of the fault that changes it."""

    request: web.BaseRequest
    answer: Answer
    details: Mapping[str, Any]
    sleep: Callable[[float], Awaitable[None]]  # ends early when the exchange closes


Details: TypeAlias = Mapping[str, Any]
Change: TypeAlias = Callable[[Answer, Details], None]
RespondFunction: TypeAlias = Callable[[FaultyDelivery], Awaitable[web.StreamResponse]]


def plain_response(answer: Answer) -> web.Response:
    """Send an answer as it is."""
    return web.Response(body=answer.body(), status=answer.status, headers=_JSON)


async def respond_with_fault(fault: Fault, delivery: FaultyDelivery) -> web.StreamResponse:
    """Send an answer the way a fault wants it sent."""
    if change := _CHANGES.get(fault.kind):
        change(delivery.answer, delivery.details)
    if replacement := _REPLACEMENTS.get(fault.kind):
        return _replace_response(delivery, *replacement(delivery.details))
    if respond := _RESPONSES.get(fault.kind):
        return await respond(delivery)
    return plain_response(delivery.answer)


def _remove_member(member: str) -> Change:
    def change(answer: Answer, _details: Details) -> None:
        answer.members.pop(member, None)

    return change


def _set_price(answer: Answer, details: Details) -> None:
    """Send the JSON text of the details as the price; without one, the price as a string."""
    if answer.price is not None:
        answer.price = details.get("price") or json.dumps(answer.price)
        answer.members["result"] = price_result(answer.price)


def _set_testnet(answer: Answer, _details: Details) -> None:
    answer.members["testnet"] = "true"


def _add_id_to_get(answer: Answer, details: Details) -> None:
    answer.members.setdefault("id", str(details["request_id"]))


def _shift_timestamp(answer: Answer, details: Details) -> None:
    """Move usOut alone; usDiff keeps telling the difference."""
    us_out = int(answer.members["usOut"]) + round(details["off_seconds"] * 1_000_000)
    answer.members["usOut"] = str(us_out)
    answer.members["usDiff"] = str(us_out - int(answer.members["usIn"]))


def _replace_response(
    delivery: FaultyDelivery, body: bytes, headers: Mapping[str, str]
) -> web.Response:
    status = delivery.details.get("status", delivery.answer.status)
    delivery.answer.drop(status)
    return web.Response(body=body, status=status, headers=headers)


async def _respond_with_half_the_json(delivery: FaultyDelivery) -> web.StreamResponse:
    """Send half the JSON as if it were all of it."""
    body = delivery.answer.body()
    return web.Response(body=body[: len(body) // 2], status=delivery.answer.status, headers=_JSON)


async def _close_after_half_the_body(delivery: FaultyDelivery) -> web.StreamResponse:
    """Promise the whole body and close the connection after half of it."""
    body = delivery.answer.body()
    headers = _JSON | {"Content-Length": str(len(body))}
    response = web.StreamResponse(status=delivery.answer.status, headers=headers)
    await response.prepare(delivery.request)
    await response.write(body[: len(body) // 2])
    if delivery.request.transport is not None:
        delivery.request.transport.close()
    return response


async def _stall_then_drop(delivery: FaultyDelivery) -> web.StreamResponse:
    """Stay silent, or send a head that never ends, then drop the connection."""
    delivery.answer.drop(0)
    left = delivery.details["stall_seconds"]
    if delivery.details["drip"]:
        left = await _send_endless_headers(delivery, left)
    await delivery.sleep(left)
    return _drop_connection(delivery)


async def _send_endless_headers(delivery: FaultyDelivery, left: float) -> float:
    """Send one header after the other; return the seconds that are left for silence."""
    line = b"HTTP/1.1 200 OK\r\n"
    while left > _DRIP_SECONDS and delivery.request.transport is not None:
        delivery.request.transport.write(line)
        await delivery.sleep(_DRIP_SECONDS)
        line, left = b"X-Drip: drop\r\n", left - _DRIP_SECONDS
    return left


async def _drop_with_tcp_reset(delivery: FaultyDelivery) -> web.StreamResponse:
    """Drop the connection with a TCP reset."""
    delivery.answer.drop(0)
    if delivery.request.transport is not None:
        peer = delivery.request.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    return _drop_connection(delivery)


def _drop_connection(delivery: FaultyDelivery) -> web.StreamResponse:
    """Drop the connection; aiohttp finds nobody to send the returned response to."""
    if delivery.request.transport is not None:
        delivery.request.transport.abort()
    return web.Response()


_CHANGES: Final[Mapping[str, Change]] = {
    "price": _set_price,
    "wrong_type": _set_price,
    "stamp": _shift_timestamp,
    "testnet": _set_testnet,
    "id_on_get": _add_id_to_get,
    "missing_result": _remove_member("result"),
    "without_us_in": _remove_member("usIn"),
    "without_us_out": _remove_member("usOut"),
    "without_us_diff": _remove_member("usDiff"),
    "without_testnet": _remove_member("testnet"),
    "without_jsonrpc": _remove_member("jsonrpc"),
}
_REPLACEMENTS: Final[Mapping[str, Callable[[Details], tuple[bytes, dict[str, str]]]]] = {
    "html": lambda _: (_PAGE, _HTML),
    "empty": lambda _: (b"", {}),
    "redirect": lambda details: (b"", {"Location": details["location"]}),
    "not_object": lambda details: (details["body"].encode(), _JSON),
}
_RESPONSES: Final[Mapping[str, RespondFunction]] = {
    "cut": _respond_with_half_the_json,
    "cut_connection": _close_after_half_the_body,
    "stall": _stall_then_drop,
    "reset": _drop_with_tcp_reset,
}
