"""Handles requests: picks the fault, computes the answer, and logs both."""

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
from app.simulator.request_log import RequestLog, RequestRecord
from app.simulator.responses import Answer, FaultyDelivery, plain_response, respond_with_fault
from app.simulator.rpc_requests import RpcRequest, parse_request
from app.simulator.timings import JitteredMilliseconds, now_us, validate_delay

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
    clock: JitteredMilliseconds = field(default_factory=JitteredMilliseconds)
    delay: JitteredMilliseconds = field(default_factory=JitteredMilliseconds)
    limit: RateLimit | None = None
    request_log: RequestLog = field(default_factory=RequestLog)

    def add_fault(
        self, description: Mapping[str, Any], last: asyncio.BaseProtocol | None = None
    ) -> Fault:
        """Put a fault in force; an outage leaves the connection `last` alone."""
        fault = self.faults.add(description)
        if fault.kind == "down" and fault.seconds is not None:
            self.listener.start_outage(fault.seconds, last)
        return fault

    def set_delay(self, delay: JitteredMilliseconds) -> None:
        """Let every answer wait; a delay into the past is refused."""
        validate_delay(delay)
        self.delay = delay

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to one of the public methods."""
        received_us = now_us()
        rpc = await parse_request(request)
        entry = self.request_log.start(request.method, rpc.method, rpc.params, received_us)
        try:
            return await self._reply(request, rpc, entry)
        finally:
            self.request_log.finish()

    async def _reply(
        self, request: web.BaseRequest, rpc: RpcRequest, entry: RequestRecord
    ) -> web.StreamResponse:
        shift_us = self.clock.draw_us(self.rng)
        fault = self.faults.pick(rpc.method, entry.index)
        if delay_us := self.delay.draw_us(self.rng):
            await self.listener.sleep(delay_us / 1_000_000)
        answer = self._answer(rpc, fault, entry.received_us + shift_us, now_us() + shift_us)
        if fault is None:
            response: web.StreamResponse = plain_response(answer)
        else:
            entry.fault = fault.id
            delivery = FaultyDelivery(request, answer, fault.details, self.listener.sleep)
            response = await respond_with_fault(fault, delivery)
        _log_answer(entry, answer)
        return response

    def _answer(self, rpc: RpcRequest, fault: Fault | None, us_in: int, us_out: int) -> Answer:
        """Compute the answer; the price in it is the one at its usOut."""
        price = None
        try:
            self._refuse(rpc, fault)
            kind, text = "result", METHODS[rpc.method](self.market, rpc.params, us_out)
            status: int = HTTPStatus.OK
            if rpc.method == PRICE_METHOD:
                price = self.market.price_text(rpc.params["index_name"], us_out)
        except RpcError as error:
            kind, text, status = "error", error.text(), error.status
        members = envelope(kind, text, us_in, us_out, testnet=self.testnet)
        if rpc.request_id is not None:
            members["id"] = rpc.request_id
        return Answer(members, status, price)

    def _refuse(self, rpc: RpcRequest, fault: Fault | None) -> None:
        """Raise the error that a fault, the rate limit or the call itself demands."""
        if fault is not None and fault.kind == "error":
            raise RpcError(**fault.details)
        if self.limit is not None and not self.limit.allows():
            raise RpcError(_TOO_MANY_REQUESTS)
        if rpc.error is not None:
            raise rpc.error
        if rpc.method not in METHODS:
            raise RpcError(_METHOD_NOT_FOUND)


def _log_answer(entry: RequestRecord, answer: Answer) -> None:
    """Log what was sent, if anything was."""
    if not answer.status:
        return
    us_out = answer.members.get("usOut")
    entry.answered_us = now_us()
    entry.status = answer.status
    entry.us_out = None if us_out is None else int(us_out)
    entry.price = answer.price
