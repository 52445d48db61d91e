"""The handler: takes a request, decides what it gets, and notes both in the record."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Any, Final

from aiohttp import web

from app.simulator.fault_kinds import PRICE_METHOD
from app.simulator.faults import Fault, FaultRegistry
from app.simulator.json_rpc import RpcError, envelope
from app.simulator.listener import Listener
from app.simulator.methods import METHODS, Market
from app.simulator.rate_limit import RateLimit
from app.simulator.request_log import Record, RequestRecord
from app.simulator.responses import Answer, Sending, deliver, whole
from app.simulator.rpc_requests import Call, read_call
from app.simulator.timings import Spread, check_delay, true_time_us

_TOO_MANY_REQUESTS: Final = 10028
_METHOD_NOT_FOUND: Final = -32601


@dataclass(slots=True)
class RequestHandler:
    """Everything an answer depends on; each part may change while the exchange runs."""

    market: Market
    faults: FaultRegistry
    rng: Random
    listener: Listener
    testnet: bool = False
    clock: Spread = field(default_factory=Spread)
    delay: Spread = field(default_factory=Spread)
    limit: RateLimit | None = None
    record: Record = field(default_factory=Record)

    def add_fault(
        self, wanted: Mapping[str, Any], last: asyncio.BaseProtocol | None = None
    ) -> Fault:
        """Put a fault in force; an outage leaves the connection `last` alone."""
        fault = self.faults.add(wanted)
        if fault.kind == "down" and fault.seconds is not None:
            self.listener.go_down(fault.seconds, last)
        return fault

    def set_delay(self, delay: Spread) -> None:
        """Let every answer wait; a delay into the past is refused."""
        check_delay(delay)
        self.delay = delay

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to one of the public methods."""
        received_us = true_time_us()
        call = await read_call(request)
        entry = self.record.open(request.method, call.method, call.params, received_us)
        try:
            return await self._reply(request, call, entry)
        finally:
            self.record.close()

    async def _reply(
        self, request: web.BaseRequest, call: Call, entry: RequestRecord
    ) -> web.StreamResponse:
        shift_us = self.clock.draw_us(self.rng)
        fault = self.faults.pick(call.method, entry.index)
        if delay_us := self.delay.draw_us(self.rng):
            await self.listener.pause(delay_us / 1_000_000)
        answer = self._answer(call, fault, entry.received_us + shift_us, true_time_us() + shift_us)
        if fault is None:
            response: web.StreamResponse = whole(answer)
        else:
            entry.fault = fault.id
            sending = Sending(request, answer, fault.details, self.listener.pause)
            response = await deliver(fault, sending)
        _note(entry, answer)
        return response

    def _answer(self, call: Call, fault: Fault | None, us_in: int, us_out: int) -> Answer:
        """Compute the answer; the price in it is the one at its usOut."""
        price = None
        try:
            self._refuse(call, fault)
            kind, text = "result", METHODS[call.method](self.market, call.params, us_out)
            status: int = HTTPStatus.OK
            if call.method == PRICE_METHOD:
                price = self.market.price_text(call.params["index_name"], us_out)
        except RpcError as error:
            kind, text, status = "error", error.text(), error.status
        members = envelope(kind, text, us_in, us_out, testnet=self.testnet)
        if call.request_id is not None:
            members["id"] = call.request_id
        return Answer(members, status, price)

    def _refuse(self, call: Call, fault: Fault | None) -> None:
        """Raise the error that a fault, the rate limit or the call itself demands."""
        if fault is not None and fault.kind == "error":
            raise RpcError(**fault.details)
        if self.limit is not None and not self.limit.admits():
            raise RpcError(_TOO_MANY_REQUESTS)
        if call.error is not None:
            raise call.error
        if call.method not in METHODS:
            raise RpcError(_METHOD_NOT_FOUND)


def _note(entry: RequestRecord, answer: Answer) -> None:
    """Record what was sent, if anything was."""
    if not answer.status:
        return
    us_out = answer.members.get("usOut")
    entry.answered_us = true_time_us()
    entry.status = answer.status
    entry.us_out = None if us_out is None else int(us_out)
    entry.price = answer.price
