"""Deribit's JSON-RPC envelope.

It is put together from JSON texts, never from numbers: so a price keeps its exact digits, and a
fault may put in its place what no JSON library would write.
"""

import json
from http import HTTPStatus
from typing import Final, TypeAlias

Members: TypeAlias = dict[str, str]
"""The members of a JSON object, each value a JSON text of its own."""

DEFAULT_MESSAGES: Final = {
    -32700: "Parse error",
    -32602: "Invalid params",
    -32601: "Method not found",
    -32600: "request entity too large",
    -32000: "Missing params",
    10001: "error",
    10028: "too_many_requests",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    11050: "bad_request",
    11051: "system_maintenance",
    11056: "unauthenticated_public_requests_temporarily_disabled",
    11094: "internal_server_error",
    13004: "invalid_credentials",
    13025: "method_switched_off_by_admin",
    13028: "temporarily_unavailable",
    13503: "unavailable",
    13888: "timed_out",
}

_STATUSES: Final = {
    10028: HTTPStatus.TOO_MANY_REQUESTS,
    11051: HTTPStatus.SERVICE_UNAVAILABLE,
}


class RpcError(Exception):
    """An error member: a code of Deribit's table, its message and optional data."""

    def __init__(
        self, code: int, message: str | None = None, data: object = None, status: int | None = None
    ) -> None:
        """Fill in the message and the HTTP status that Deribit sends with the code."""
        self.code = code
        self.message = message or DEFAULT_MESSAGES.get(code, "error")
        self.data = data
        self.status: int = status or _STATUSES.get(code, HTTPStatus.BAD_REQUEST)
        super().__init__(code, self.message)

    def text(self) -> str:
        """Write the error member."""
        members = {"code": self.code, "message": self.message}
        return dumps(members if self.data is None else {**members, "data": self.data})


def invalid_parameter(param: str, reason: str) -> RpcError:
    """Return the error for a parameter that makes no sense."""
    return RpcError(-32602, data={"reason": reason, "param": param})


def envelope(kind: str, text: str, us_in: int, us_out: int, *, testnet: bool) -> Members:
    """Return the members around a `result` or an `error`, in the order Deribit was seen to use."""
    return {
        "jsonrpc": '"2.0"',
        kind: text,
        "usIn": str(us_in),
        "usOut": str(us_out),
        "usDiff": str(us_out - us_in),
        "testnet": "true" if testnet else "false",
    }


def encode(members: Members) -> str:
    """Write members as a JSON object."""
    return "{" + ",".join([f'"{name}":{text}' for name, text in members.items()]) + "}"


def dumps(value: object) -> str:
    """Write a value as compact JSON."""
    return json.dumps(value, separators=(",", ":"))
