"""The control API: faults, clock, delay, chart steps, prices and the record, as JSON over HTTP."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiohttp import web

from app.simulator.clock_and_delay import JitteredMilliseconds
from app.simulator.json_rpc import dumps

if TYPE_CHECKING:
    from app.simulator.server import Exchange

CONTROL_PATH: Final = "/control/"
_CLOCK: Final = ("offset_ms", "jitter_ms")
_DELAY: Final = ("fixed_ms", "random_ms")


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One control request: the exchange it steers, the last part of its path, what came with it."""

    exchange: "Exchange"
    target: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    connection: asyncio.BaseProtocol

    def milliseconds(self, names: tuple[str, str]) -> tuple[float, tuple[float, float]]:
        """Return a fixed and a random time of the body by their names; each is 0 if left out."""
        self.refuse_fields_except(*names)
        fixed, jitter = names
        pair = self.body.get(jitter, [0, 0])
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004  a pair is two
            raise ValueError(f"{jitter}: {pair!r} is not a list of two numbers")
        low, high = (_number(jitter, value) for value in pair)
        return _number(fixed, self.body.get(fixed, 0.0)), (low, high)

    def refuse_fields_except(self, *names: str) -> None:
        """Refuse fields of the body that mean nothing."""
        if unknown := self.body.keys() - names:
            raise ValueError(f"{min(unknown)}: not a field here; known are {', '.join(names)}")


Action: TypeAlias = Callable[[ControlRequest], Any]


async def serve_control(exchange: "Exchange", request: web.BaseRequest) -> web.StreamResponse:
    """Answer a control request; what can't be followed is an error with its reason."""
    status: int = HTTPStatus.OK
    try:
        action, target = _route(request.method, request.path)
        body = _body(await request.read()) if request.method in {"POST", "PUT"} else {}
        answer = action(ControlRequest(exchange, target, request.query, body, request.protocol))
    except web.HTTPError as error:
        status, answer = error.status, {"error": error.text}
    except ValueError as error:
        status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
    response = web.Response(text=dumps(answer), status=status, content_type="application/json")
    if exchange.listener.is_down:
        response.force_close()  # the outage left this connection for its answer alone
    return response


def _get_state(request: ControlRequest) -> dict[str, Any]:
    exchange = request.exchange
    return {
        "url": exchange.url,
        "testnet": exchange.options.testnet,
        "clock": _named(_CLOCK, exchange.clock),
        "delay": _named(_DELAY, exchange.delay),
        "chart_steps": exchange.market.chart_steps,
        "prices": exchange.market.pinned,
        "faults": _list_faults(request),
        "requests": {
            "total": exchange.request_log.total,
            "in_flight": exchange.request_log.in_flight,
            "overflowed": exchange.request_log.overflowed,
        },
    }


def _add_fault(request: ControlRequest) -> dict[str, Any]:
    return request.exchange.start_fault(request.body, request.connection).as_json()


def _list_faults(request: ControlRequest) -> list[dict[str, Any]]:
    return [fault.as_json() for fault in request.exchange.faults.active()]


def _clear_faults(request: ControlRequest) -> list[dict[str, Any]]:
    faults = _list_faults(request)
    request.exchange.faults.clear()
    return faults


def _get_fault(request: ControlRequest) -> dict[str, Any]:
    fault = request.exchange.faults.get(int(request.target))
    if fault is None:
        raise web.HTTPNotFound(text=f"no fault {request.target} is in force")
    return fault.as_json()


def _remove_fault(request: ControlRequest) -> dict[str, Any]:
    removed = _get_fault(request)
    request.exchange.faults.remove(int(request.target))
    return removed


def _set_clock(request: ControlRequest) -> dict[str, Any]:
    request.exchange.set_clock(*request.milliseconds(_CLOCK))
    return _named(_CLOCK, request.exchange.clock)


def _set_delay(request: ControlRequest) -> dict[str, Any]:
    request.exchange.set_delay(*request.milliseconds(_DELAY))
    return _named(_DELAY, request.exchange.delay)


def _set_chart_steps(request: ControlRequest) -> dict[str, int]:
    request.exchange.market.set_chart_steps(request.body)
    return request.exchange.market.chart_steps


def _pin_price(request: ControlRequest) -> dict[str, str]:
    request.refuse_fields_except("price")
    request.exchange.market.pin(request.target, request.body.get("price"))
    return request.exchange.market.pinned


def _unpin_price(request: ControlRequest) -> dict[str, str]:
    if request.exchange.market.pinned.pop(request.target, None) is None:
        raise web.HTTPNotFound(text=f"the price of {request.target} is not pinned")
    return request.exchange.market.pinned


def _list_requests(request: ControlRequest) -> dict[str, Any]:
    record = request.exchange.request_log
    limit = request.query.get("limit", str(record.limit))
    if not (limit.isascii() and limit.isdigit()):
        raise ValueError(f"limit: {limit!r} is not a count")
    return {
        "total": record.total,
        "overflowed": record.overflowed,
        "requests": [request.as_json() for request in record.latest(int(limit))],
    }


def _clear_requests(request: ControlRequest) -> dict[str, Any]:
    request.exchange.request_log.clear()
    return {"total": 0}


def _get_summary(request: ControlRequest) -> dict[str, Any]:
    return request.exchange.request_log.summary()


_ROUTES: Final[Mapping[str, Mapping[str, Action]]] = {
    "state": {"GET": _get_state},
    "faults": {"GET": _list_faults, "POST": _add_fault, "DELETE": _clear_faults},
    r"faults/(\d{1,9})": {"GET": _get_fault, "DELETE": _remove_fault},
    "clock": {"PUT": _set_clock},
    "delay": {"PUT": _set_delay},
    "chart-steps": {"PUT": _set_chart_steps},
    "prices/([^/]+)": {"PUT": _pin_price, "DELETE": _unpin_price},
    "requests": {"GET": _list_requests, "DELETE": _clear_requests},
    "requests/summary": {"GET": _get_summary},
}


def _route(method: str, path: str) -> tuple[Action, str]:
    for pattern, actions in _ROUTES.items():
        if match := re.fullmatch(CONTROL_PATH + pattern, path):
            if method not in actions:
                text = f"{path} takes {', '.join(actions)}"
                raise web.HTTPMethodNotAllowed(method, actions, text=text)
            return actions[method], match[match.lastindex or 0]
    raise web.HTTPNotFound(text=f"{path} is not there; see {CONTROL_PATH}state")


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004  a 400, like any value
    return body


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: {value!r} is not a number")  # noqa: TRY004  a 400, like any value
    return value


def _named(names: tuple[str, str], time: JitteredMilliseconds) -> dict[str, Any]:
    return dict(zip(names, (time.fixed_ms, time.random_ms), strict=True))
