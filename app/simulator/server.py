"""The simulated exchange: one port with Deribit's public methods and a control API."""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import Any, Final, Self

from aiohttp import web

from app.simulator.chart import DEFAULT_STEPS
from app.simulator.clock_and_delay import JitteredMilliseconds, now_us, validate_delay
from app.simulator.control import CONTROL_PATH, serve_control
from app.simulator.fault_kinds import PRICE_METHOD
from app.simulator.faults import Fault, FaultRegistry
from app.simulator.faulty_responses import (
    Answer,
    FaultyDelivery,
    plain_response,
    respond_with_fault,
)
from app.simulator.indices import load_indices
from app.simulator.json_rpc import RpcError, envelope
from app.simulator.listener import Listener
from app.simulator.methods import METHODS, Market
from app.simulator.options import ExchangeOptions
from app.simulator.rate_limit import RateLimit
from app.simulator.request_log import RequestLog, RequestRecord
from app.simulator.rpc_requests import API_PATH, RpcRequest, parse_request

_PUBLIC_METHODS: Final = frozenset({"GET", "POST"})
_TOO_MANY_REQUESTS: Final = 10028
_METHOD_NOT_FOUND: Final = -32601
_log = logging.getLogger(__name__)


class Exchange:
    """An exchange that listens while it is entered: `async with Exchange(options) as exchange`.

    Its parts are public: each may be changed while it runs, and the control API does so.
    """

    def __init__(self, options: ExchangeOptions | None = None) -> None:
        """Prepare an exchange; nothing listens yet."""
        self.options = options = options or ExchangeOptions()
        self.market = Market(
            load_indices(options.indices, any_name=options.any_index),
            {**DEFAULT_STEPS, **options.chart_steps},
        )
        self.clock, self.delay = options.clock, options.delay
        self.request_log = RequestLog()
        self.listener = Listener(self._serve, options.host, options.port, _tls(options))
        self._rng = Random(options.seed)  # noqa: S311  it throws faults and keeps no secret
        self.faults = FaultRegistry(self._rng)
        self._limit = options.rate_limit and RateLimit(options.rate_limit, options.burst)

    async def __aenter__(self) -> Self:
        await self.listener.open()
        for fault in self.options.faults:
            self.start_fault(fault)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.close()

    @property
    def url(self) -> str:
        """Return the address without a path."""
        return self.listener.url

    @property
    def api_url(self) -> str:
        """Return the address that stands for https://www.deribit.com/api/v2."""
        return self.url + API_PATH

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """Return the record of the requests to the public methods, oldest first."""
        return self.request_log.requests

    def add_fault(self, kind: str, **fields: object) -> Fault:
        """Put a fault in force; raise FaultError if it makes no sense."""
        return self.start_fault({"kind": kind, **fields})

    def start_fault(
        self, description: Mapping[str, Any], last: asyncio.BaseProtocol | None = None
    ) -> Fault:
        """Start a fault; an outage leaves the connection `last` alone."""
        fault = self.faults.add(description)
        if fault.kind == "down" and fault.seconds is not None:
            self.listener.start_outage(fault.seconds, last)
        return fault

    def set_clock(
        self, offset_ms: float = 0.0, jitter_ms: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        """Shift the exchange's clock, by a random part anew for every answer."""
        self.clock = JitteredMilliseconds(offset_ms, jitter_ms)

    def set_delay(self, fixed_ms: float = 0.0, random_ms: tuple[float, float] = (0.0, 0.0)) -> None:
        """Let every answer wait before it is computed; a delay into the past is refused."""
        delay = JitteredMilliseconds(fixed_ms, random_ms)
        validate_delay(delay)
        self.delay = delay

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if (path + "/").startswith(API_PATH + "/") and request.method in _PUBLIC_METHODS:
            response = await self._serve_public(request)
        elif path.startswith(CONTROL_PATH):
            response = await serve_control(self, request)
        else:
            response = web.json_response({"error": f"{request.method} {path}"}, status=404)
        if self.options.verbose:
            _log.info("%s %s %s", request.method, request.raw_path, response.status)
        return response

    async def _serve_public(self, request: web.BaseRequest) -> web.StreamResponse:
        received_us = now_us()
        rpc = await parse_request(request)
        record = self.request_log.start(request.method, rpc.method, rpc.params, received_us)
        try:
            return await self._reply(request, rpc, record)
        finally:
            self.request_log.finish()

    async def _reply(
        self, request: web.BaseRequest, rpc: RpcRequest, record: RequestRecord
    ) -> web.StreamResponse:
        """Pick the fault, send the answer that it leaves, and log both."""
        shift_us = self.clock.draw_us(self._rng)
        fault = self.faults.pick(rpc.method, record.index)
        if delay_us := self.delay.draw_us(self._rng):
            await self.listener.sleep(delay_us / 1_000_000)
        answer = self._answer(rpc, fault, record.received_us + shift_us, now_us() + shift_us)
        if fault is None:
            response: web.StreamResponse = plain_response(answer)
        else:
            record.fault = fault.id
            delivery = FaultyDelivery(request, answer, fault.details, self.listener.sleep)
            response = await respond_with_fault(fault, delivery)
        _record_answer(record, answer)
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
        members = envelope(kind, text, us_in, us_out, testnet=self.options.testnet)
        if rpc.request_id is not None:
            members["id"] = rpc.request_id
        return Answer(members, status, price)

    def _refuse(self, rpc: RpcRequest, fault: Fault | None) -> None:
        """Raise the error that a fault, the rate limit or the call itself demands."""
        if fault is not None and fault.kind == "error":
            raise RpcError(**fault.details)
        if self._limit and not self._limit.allows():
            raise RpcError(_TOO_MANY_REQUESTS)
        if rpc.error is not None:
            raise rpc.error
        if rpc.method not in METHODS:
            raise RpcError(_METHOD_NOT_FOUND)


def _record_answer(record: RequestRecord, answer: Answer) -> None:
    """Log what was sent, if anything was."""
    if not answer.status:
        return
    us_out = answer.members.get("usOut")
    record.answered_us = now_us()
    record.status = answer.status
    record.us_out = None if us_out is None else int(us_out)
    record.price = answer.price


def _tls(options: ExchangeOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"tls-cert: {options.tls_cert}: {error}") from None
    return context
