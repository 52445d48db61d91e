"""The control API: faults, clock, delay, chart steps, prices and the record, as JSON over HTTP."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from aiohttp import web

from app.simulator.desk import Desk
from app.simulator.faults import Fault
from app.simulator.timing import Spread
from app.simulator.wire import dumps

CONTROL_PATH: Final = "/control/"


class ControlError(Exception):
    """A control request that can't be followed, for a reason other than its body."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Order:
    """One control request: the desk it steers, the last part of its path, what came with it."""

    desk: Desk
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


Action: TypeAlias = Callable[[Order], Any]


async def serve_control(desk: Desk, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a control request; what can't be followed is an error with its reason."""
    status = HTTPStatus.OK
    try:
        action, target = _route(request.method, request.path)
        body = _body(await request.read()) if request.method in {"POST", "PUT"} else {}
        answer = action(Order(desk, target, request.query, body, request.protocol))
    except ControlError as error:
        status, answer = error.status, {"error": str(error)}
    except ValueError as error:
        status, answer = HTTPStatus.BAD_REQUEST, {"error": str(error)}
    response = web.Response(text=dumps(answer), status=status, content_type="application/json")
    if desk.listener.down:
        response.force_close()  # the outage left this connection for its answer alone
    return response


def _state(order: Order) -> dict[str, Any]:
    desk = order.desk
    return {
        "url": desk.listener.url,
        "testnet": desk.testnet,
        "clock": _clock_state(desk),
        "delay": _delay_state(desk),
        "chart_steps": desk.market.chart_steps,
        "prices": desk.market.pinned,
        "faults": _faults(order),
        "requests": {
            "total": desk.record.total,
            "in_flight": desk.record.in_flight,
            "overflowed": desk.record.overflowed,
        },
    }


def _add_fault(order: Order) -> dict[str, Any]:
    return order.desk.add_fault(order.body, order.connection).as_json()


def _faults(order: Order) -> list[dict[str, Any]]:
    return [fault.as_json() for fault in order.desk.faults.in_force()]


def _clear_faults(order: Order) -> list[dict[str, Any]]:
    faults = _faults(order)
    order.desk.faults.clear()
    return faults


def _fault(order: Order) -> dict[str, Any]:
    return _found(order.desk.faults.get(int(order.target)), order).as_json()


def _remove_fault(order: Order) -> dict[str, Any]:
    return _found(order.desk.faults.remove(int(order.target)), order).as_json()


def _found(fault: Fault | None, order: Order) -> Fault:
    if fault is None:
        raise ControlError(HTTPStatus.NOT_FOUND, f"no fault {order.target} is in force")
    return fault


def _set_clock(order: Order) -> dict[str, Any]:
    order.only("offset_ms", "jitter_ms")
    order.desk.clock = Spread(order.number("offset_ms"), order.range("jitter_ms"))
    return _clock_state(order.desk)


def _set_delay(order: Order) -> dict[str, Any]:
    order.only("fixed_ms", "random_ms")
    order.desk.set_delay(Spread(order.number("fixed_ms"), order.range("random_ms")))
    return _delay_state(order.desk)


def _set_chart_steps(order: Order) -> dict[str, int]:
    order.desk.market.set_chart_steps(order.body)
    return order.desk.market.chart_steps


def _pin_price(order: Order) -> dict[str, str]:
    order.only("price")
    order.desk.market.pin(order.target, order.body.get("price"))
    return order.desk.market.pinned


def _unpin_price(order: Order) -> dict[str, str]:
    if order.desk.market.pinned.pop(order.target, None) is None:
        raise ControlError(HTTPStatus.NOT_FOUND, f"the price of {order.target} is not pinned")
    return order.desk.market.pinned


def _requests(order: Order) -> dict[str, Any]:
    record, limit = order.desk.record, order.query.get("limit", str(order.desk.record.limit))
    if not (limit.isascii() and limit.isdigit()):
        raise ValueError(f"limit: {limit!r} is not a count")
    return {
        "total": record.total,
        "overflowed": record.overflowed,
        "requests": [request.as_json() for request in record.latest(int(limit))],
    }


def _clear_requests(order: Order) -> dict[str, Any]:
    order.desk.record.clear()
    return {"total": 0}


def _summary(order: Order) -> dict[str, Any]:
    return order.desk.record.summary()


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


def _clock_state(desk: Desk) -> dict[str, Any]:
    return {"offset_ms": desk.clock.fixed_ms, "jitter_ms": desk.clock.random_ms}


def _delay_state(desk: Desk) -> dict[str, Any]:
    return {"fixed_ms": desk.delay.fixed_ms, "random_ms": desk.delay.random_ms}
