"""The simulated exchange: one port with Deribit's public methods and a control API."""

import logging
import ssl
from collections.abc import Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from app.simulator.chart import DEFAULT_STEPS
from app.simulator.control import CONTROL_PATH, serve_control
from app.simulator.faults import Fault, FaultRegistry
from app.simulator.handler import RequestHandler
from app.simulator.indices import load_indices
from app.simulator.listener import Listener
from app.simulator.methods import Market
from app.simulator.options import ExchangeOptions, OptionError
from app.simulator.rate_limit import RateLimit
from app.simulator.request_log import RequestRecord
from app.simulator.rpc_requests import API_PATH
from app.simulator.timings import JitteredMilliseconds

_PUBLIC_METHODS: Final = frozenset({"GET", "POST"})
_log = logging.getLogger(__name__)


class Exchange:
    """An exchange that listens while it is entered: `async with Exchange(options) as exchange`."""

    def __init__(self, options: ExchangeOptions | None = None) -> None:
        """Prepare an exchange; nothing listens yet."""
        self.options = options or ExchangeOptions()
        self._listener = Listener(
            self._serve, self.options.host, self.options.port, _tls(self.options)
        )
        self._handler = _build_handler(self.options, self._listener)

    async def __aenter__(self) -> Self:
        await self._listener.open()
        for fault in self.options.faults:
            self._handler.add_fault(fault)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._listener.close()

    @property
    def url(self) -> str:
        """Return the address without a path."""
        return self._listener.url

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return self._listener.port

    @property
    def api_url(self) -> str:
        """Return the address that stands for https://www.deribit.com/api/v2."""
        return self.url + API_PATH

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """Return the record of the requests to the public methods, oldest first."""
        return self._handler.request_log.requests

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._handler.request_log.clear()

    def summary(self) -> dict[str, Any]:
        """Return the record's counts, as the control API does."""
        return self._handler.request_log.summary()

    def add_fault(self, kind: str, **fields: object) -> Fault:
        """Put a fault in force; raise FaultError if it makes no sense."""
        return self._handler.add_fault({"kind": kind, **fields})

    def remove_fault(self, fault_id: int) -> None:
        """Remove a fault; one that ended by itself is no error."""
        self._handler.faults.remove(fault_id)

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._handler.faults.clear()

    def pin_price(self, index: str, text: str) -> None:
        """Send this JSON text as the price of an index."""
        self._handler.market.pin(index, text)

    def unpin_price(self, index: str) -> None:
        """Send the price of an index as it is again."""
        self._handler.market.pinned.pop(index, None)

    def set_clock(
        self, offset_ms: float = 0.0, jitter_ms: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        """Shift the exchange's clock, by a random part anew for every answer."""
        self._handler.clock = JitteredMilliseconds(offset_ms, jitter_ms)

    def set_delay(self, fixed_ms: float = 0.0, random_ms: tuple[float, float] = (0.0, 0.0)) -> None:
        """Let every answer wait before it is computed."""
        self._handler.set_delay(JitteredMilliseconds(fixed_ms, random_ms))

    def set_chart_steps(self, **steps: int) -> None:
        """Change the steps of chart ranges, in seconds."""
        self._handler.market.set_chart_steps(steps)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if (path + "/").startswith(API_PATH + "/") and request.method in _PUBLIC_METHODS:
            response = await self._handler.serve(request)
        elif path.startswith(CONTROL_PATH):
            response = await serve_control(self._handler, request)
        else:
            response = web.json_response({"error": f"{request.method} {path}"}, status=404)
        if self.options.verbose:
            _log.info("%s %s %s", request.method, request.raw_path, response.status)
        return response


def _build_handler(options: ExchangeOptions, listener: Listener) -> RequestHandler:
    rng = Random(options.seed)  # noqa: S311  it throws faults and keeps no secret
    market = Market(
        load_indices(options.indices, any_name=options.any_index),
        {**DEFAULT_STEPS, **options.chart_steps},
    )
    limit = None if options.rate_limit is None else RateLimit(options.rate_limit, options.burst)
    return RequestHandler(
        market,
        FaultRegistry(rng),
        rng,
        listener,
        testnet=options.testnet,
        clock=options.clock,
        delay=options.delay,
        limit=limit,
    )


def _tls(options: ExchangeOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"tls-cert: {options.tls_cert}: {error}") from None
    return context
