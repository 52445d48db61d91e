"""The control API: faults, clock, delay, chart steps, prices and the record, as JSON over HTTP."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web

from app.simulator.faults import Fault
from app.simulator.handler import RequestHandler
from app.simulator.json_rpc import dumps
from app.simulator.timings import JitteredMilliseconds

CONTROL_PATH: Final = "/control/"


class ControlError(Exception):
    """A control request that can't be followed, for a reason other than its body."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One control request: the handler it steers, the last part of its path, what came with it."""

    handler: RequestHandler
    target: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    connection: asyncio.BaseProtocol

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a number of the body."""
        return _number(name, self.body.get(name, default))

    def range(self, name: str) -> tuple[float, float]:
        """Return a pair of numbers of the body; without it, the range of 0 alone."""
        pair = self.body.get(name, [0, 0])
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004  a pair is two
            raise ValueError(f"{name}: {pair!r} is not a list of two numbers")
        return _number(name, pair[0]), _number(name, pair[1])

    def only(self, *names: str) -> None:
        """Refuse fields of the body that mean nothing."""
        if unknown := self.body.keys() - names:
            raise ValueError(f"{min(unknown)}: not a field here; known are {', '.join(names)}")


Action: TypeAlias = Callable[[ControlRequest], Any]


async def serve_control(handler: RequestHandler, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a control request; what can't be followed is an error with its reason."""
    status = HTTPStatus.OK
    try:
        action, target = _route(request.method, request.path)
        body = _body(await request.read()) if request.method in {"POST", "PUT"} else {}
        answer = action(ControlRequest(handler, target, request.query, body, request.protocol))
    except ControlError as error:
        status, answer = error.status, {"error": str(error)}
    except ValueError as error:
        status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
    response = web.Response(text=dumps(answer), status=status, content_type="application/json")
    if handler.listener.is_down:
        response.force_close()  # the outage left this connection for its answer alone
    return response


def _state(request: ControlRequest) -> dict[str, Any]:
    handler = request.handler
    return {
        "url": handler.listener.url,
        "testnet": handler.testnet,
        "clock": _clock_state(handler),
        "delay": _delay_state(handler),
        "chart_steps": handler.market.chart_steps,
        "prices": handler.market.pinned,
        "faults": _faults(request),
        "requests": {
            "total": handler.request_log.total,
            "in_flight": handler.request_log.in_flight,
            "overflowed": handler.request_log.overflowed,
        },
    }


def _add_fault(request: ControlRequest) -> dict[str, Any]:
    return request.handler.add_fault(request.body, request.connection).as_json()


def _faults(request: ControlRequest) -> list[dict[str, Any]]:
    return [fault.as_json() for fault in request.handler.faults.active()]


def _clear_faults(request: ControlRequest) -> list[dict[str, Any]]:
    faults = _faults(request)
    request.handler.faults.clear()
    return faults


def _fault(request: ControlRequest) -> dict[str, Any]:
    return _found(request.handler.faults.get(int(request.target)), request).as_json()


def _remove_fault(request: ControlRequest) -> dict[str, Any]:
    return _found(request.handler.faults.remove(int(request.target)), request).as_json()


def _found(fault: Fault | None, request: ControlRequest) -> Fault:
    if fault is None:
        raise ControlError(HTTPStatus.NOT_FOUND, f"no fault {request.target} is in force")
    return fault


def _set_clock(request: ControlRequest) -> dict[str, Any]:
    request.only("offset_ms", "jitter_ms")
    request.handler.clock = JitteredMilliseconds(
        request.number("offset_ms"), request.range("jitter_ms")
    )
    return _clock_state(request.handler)


def _set_delay(request: ControlRequest) -> dict[str, Any]:
    request.only("fixed_ms", "random_ms")
    request.handler.set_delay(
        JitteredMilliseconds(request.number("fixed_ms"), request.range("random_ms"))
    )
    return _delay_state(request.handler)


def _set_chart_steps(request: ControlRequest) -> dict[str, int]:
    request.handler.market.set_chart_steps(request.body)
    return request.handler.market.chart_steps


def _pin_price(request: ControlRequest) -> dict[str, str]:
    request.only("price")
    request.handler.market.pin(request.target, request.body.get("price"))
    return request.handler.market.pinned


def _unpin_price(request: ControlRequest) -> dict[str, str]:
    if request.handler.market.pinned.pop(request.target, None) is None:
        raise ControlError(HTTPStatus.NOT_FOUND, f"the price of {request.target} is not pinned")
    return request.handler.market.pinned


def _requests(request: ControlRequest) -> dict[str, Any]:
    record, limit = (
        request.handler.request_log,
        request.query.get("limit", str(request.handler.request_log.limit)),
    )
    if not (limit.isascii() and limit.isdigit()):
        raise ValueError(f"limit: {limit!r} is not a count")
    return {
        "total": record.total,
        "overflowed": record.overflowed,
        "requests": [request.as_json() for request in record.latest(int(limit))],
    }


def _clear_requests(request: ControlRequest) -> dict[str, Any]:
    request.handler.request_log.clear()
    return {"total": 0}


def _summary(request: ControlRequest) -> dict[str, Any]:
    return request.handler.request_log.summary()


_ROUTES: Final[Mapping[str, Mapping[str, Action]]] = {
    "state": {"GET": _state},
    "faults": {"GET": _faults, "POST": _add_fault, "DELETE": _clear_faults},
    r"faults/(\d{1,9})": {"GET": _fault, "DELETE": _remove_fault},
    "clock": {"PUT": _set_clock},
    "delay": {"PUT": _set_delay},
    "chart-steps": {"PUT": _set_chart_steps},
    "prices/([^/]+)": {"PUT": _pin_price, "DELETE": _unpin_price},
    "requests": {"GET": _requests, "DELETE": _clear_requests},
    "requests/summary": {"GET": _summary},
}


def _route(method: str, path: str) -> tuple[Action, str]:
    for pattern, actions in _ROUTES.items():
        if match := re.fullmatch(CONTROL_PATH + pattern, path):
            if method not in actions:
                raise ControlError(
                    HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {', '.join(actions)}"
                )
            return actions[method], match[match.lastindex or 0]
    raise ControlError(HTTPStatus.NOT_FOUND, f"{path} is not there; see {CONTROL_PATH}state")


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


def _clock_state(handler: RequestHandler) -> dict[str, Any]:
    return {"offset_ms": handler.clock.fixed_ms, "jitter_ms": handler.clock.random_ms}


def _delay_state(handler: RequestHandler) -> dict[str, Any]:
    return {"fixed_ms": handler.delay.fixed_ms, "random_ms": handler.delay.random_ms}
