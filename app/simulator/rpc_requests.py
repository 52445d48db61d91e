"""Parses requests: a method with named parameters, from a URL or a JSON-RPC body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from app.simulator.json_rpc import RpcError

API_PATH: Final = "/api/v2"
_PUBLIC: Final = "public/"
_LARGEST_BODY: Final = 32_000


@dataclass(slots=True)
class RpcRequest:
    """One request, as far as it could be understood."""

    method: str  # without "public/"; other scopes keep theirs
    params: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None  # as JSON text
    error: RpcError | None = None


async def parse_request(request: web.BaseRequest) -> RpcRequest:
    """Read a request to a method's path or to the bare root; a bad one bears its error."""
    path = request.path[len(API_PATH) :].strip("/")
    if request.method == "GET" and not request.body_exists:
        return RpcRequest(path.removeprefix(_PUBLIC), dict(request.query))
    rpc = RpcRequest(path.removeprefix(_PUBLIC))
    try:
        _read_body(rpc, await _body(request))
    except RpcError as error:
        rpc.error = error
    return rpc


async def _body(request: web.BaseRequest) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise RpcError(-32600)
    return bytes(body)


def _read_body(rpc: RpcRequest, body: bytes) -> None:
    """Fill a call from a JSON-RPC body; the path's method comes before the body's."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise RpcError(-32700) from None
    if not isinstance(message, dict):
        raise RpcError(11050, data={"reason": "batches are not supported"})
    method, params = message.get("method"), message.get("params", {})
    if not rpc.method and isinstance(method, str):
        rpc.method = method.removeprefix(_PUBLIC)
    rpc.request_id = _request_id(message)
    if not isinstance(params, dict):
        raise RpcError(11050, data={"reason": "params must be an object", "param": "params"})
    rpc.params = params


def _request_id(message: Mapping[str, Any]) -> str:
    request_id = message.get("id")
    if not isinstance(request_id, int | str) or isinstance(request_id, bool):
        raise RpcError(11050, data={"reason": "an integer or a string", "param": "id"})
    return json.dumps(request_id)
