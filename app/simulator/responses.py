"""What leaves the exchange: an answer, or the wreck that a fault makes of it."""

import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from aiohttp import web

from app.simulator.faults import Fault
from app.simulator.json_rpc import Members, write
from app.simulator.methods import price_result

_JSON: Final = {"Content-Type": "application/json"}
_HTML: Final = {"Content-Type": "text/html"}
_PAGE: Final = b"<html><head><title>Bad Gateway</title></head><body>Bad Gateway</body></html>"
_DRIP_SECONDS: Final = 0.2
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


@dataclass(slots=True)
class Answer:
    """An answer about to be sent; status 0 says that none was."""

    members: Members
    status: int = HTTPStatus.OK
    price: str | None = None

    def body(self) -> bytes:
        """Write the envelope."""
        return write(self.members).encode()

    def drop(self, status: int) -> None:
        """Take back the envelope; something else goes out under this status, or nothing."""
        self.members, self.status, self.price = {}, status, None


@dataclass(frozen=True, slots=True)
class Sending:
    """An answer on its way, and the fault that awaits it."""

    request: web.BaseRequest
    answer: Answer
    details: Mapping[str, Any]
    pause: Callable[[float], Awaitable[None]]  # ends early when the exchange closes


Change: TypeAlias = Callable[[Answer, Mapping[str, Any]], None]
Delivery: TypeAlias = Callable[[Sending], Awaitable[web.StreamResponse]]


def whole(answer: Answer) -> web.Response:
    """Send an answer as it is."""
    return web.Response(body=answer.body(), status=answer.status, headers=_JSON)


async def deliver(fault: Fault, sending: Sending) -> web.StreamResponse:
    """Send an answer the way a fault wants it sent."""
    if change := _CHANGES.get(fault.kind):
        change(sending.answer, sending.details)
    if delivery := _DELIVERIES.get(fault.kind):
        return await delivery(sending)
    return whole(sending.answer)


def _without(member: str) -> Change:
    def change(answer: Answer, _details: Mapping[str, Any]) -> None:
        answer.members.pop(member, None)

    return change


def _price(answer: Answer, details: Mapping[str, Any]) -> None:
    _set_price(answer, details["price"])


def _price_as_text(answer: Answer, _details: Mapping[str, Any]) -> None:
    _set_price(answer, json.dumps(answer.price))


def _set_price(answer: Answer, text: str) -> None:
    if answer.price is not None:
        answer.price = text
        answer.members["result"] = price_result(text)


def _testnet(answer: Answer, _details: Mapping[str, Any]) -> None:
    answer.members["testnet"] = "true"


def _id(answer: Answer, details: Mapping[str, Any]) -> None:
    answer.members.setdefault("id", str(details["request_id"]))


def _stamp(answer: Answer, details: Mapping[str, Any]) -> None:
    """Move usOut alone; usDiff keeps telling the difference."""
    us_out = int(answer.members["usOut"]) + round(details["off_seconds"] * 1_000_000)
    answer.members["usOut"] = str(us_out)
    answer.members["usDiff"] = str(us_out - int(answer.members["usIn"]))


async def _html(sending: Sending) -> web.StreamResponse:
    return _instead(sending, _PAGE, _HTML)


async def _empty(sending: Sending) -> web.StreamResponse:
    return _instead(sending, b"", {})


async def _redirect(sending: Sending) -> web.StreamResponse:
    return _instead(sending, b"", {"Location": sending.details["location"]})


async def _not_object(sending: Sending) -> web.StreamResponse:
    return _instead(sending, sending.details["body"].encode(), _JSON)


def _instead(sending: Sending, body: bytes, headers: Mapping[str, str]) -> web.Response:
    status = sending.details.get("status", sending.answer.status)
    sending.answer.drop(status)
    return web.Response(body=body, status=status, headers=headers)


async def _cut(sending: Sending) -> web.StreamResponse:
    """Send half the JSON as if it were all of it."""
    body = sending.answer.body()
    return web.Response(body=body[: len(body) // 2], status=sending.answer.status, headers=_JSON)


async def _cut_connection(sending: Sending) -> web.StreamResponse:
    """Promise the whole body and close the connection after half of it."""
    body = sending.answer.body()
    headers = _JSON | {"Content-Length": str(len(body))}
    response = web.StreamResponse(status=sending.answer.status, headers=headers)
    await response.prepare(sending.request)
    await response.write(body[: len(body) // 2])
    if sending.request.transport is not None:
        sending.request.transport.close()
    return response


async def _stall(sending: Sending) -> web.StreamResponse:
    """Stay silent, or send a head that never ends, then drop the connection."""
    sending.answer.drop(0)
    left = sending.details["stall_seconds"]
    if sending.details["drip"]:
        left = await _drip(sending, left)
    await sending.pause(left)
    return _abort(sending)


async def _drip(sending: Sending, left: float) -> float:
    """Send one header after the other; return the seconds that are left for silence."""
    line = b"HTTP/1.1 200 OK\r\n"
    while left > _DRIP_SECONDS and sending.request.transport is not None:
        sending.request.transport.write(line)
        await sending.pause(_DRIP_SECONDS)
        line, left = b"X-Drip: drop\r\n", left - _DRIP_SECONDS
    return left


async def _reset(sending: Sending) -> web.StreamResponse:
    """Drop the connection with a TCP reset."""
    sending.answer.drop(0)
    if sending.request.transport is not None:
        peer = sending.request.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    return _abort(sending)


def _abort(sending: Sending) -> web.StreamResponse:
    """Drop the connection; aiohttp finds nobody to send the returned response to."""
    if sending.request.transport is not None:
        sending.request.transport.abort()
    return web.Response()


_CHANGES: Final[Mapping[str, Change]] = MappingProxyType(
    {
        "price": _price,
        "wrong_type": _price_as_text,
        "stamp": _stamp,
        "testnet": _testnet,
        "id_on_get": _id,
        "missing_result": _without("result"),
        "without_us_in": _without("usIn"),
        "without_us_out": _without("usOut"),
        "without_us_diff": _without("usDiff"),
        "without_testnet": _without("testnet"),
        "without_jsonrpc": _without("jsonrpc"),
    }
)
_DELIVERIES: Final[Mapping[str, Delivery]] = MappingProxyType(
    {
        "html": _html,
        "empty": _empty,
        "redirect": _redirect,
        "not_object": _not_object,
        "cut": _cut,
        "cut_connection": _cut_connection,
        "stall": _stall,
        "reset": _reset,
    }
)
