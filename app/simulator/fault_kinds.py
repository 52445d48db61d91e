"""The kinds of fault there are, the fields each takes, and the check of a fault's description."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias

PRICE_METHOD: Final = "get_index_price"
_REQUIRED: Final = object()
_REDIRECTS: Final = (301, 302, 307, 308)
_FINAL_STATUSES: Final = range(200, 600)
_MAX_SECONDS: Final = 31_536_000
_FARTHEST_SECONDS: Final = 1_000 * _MAX_SECONDS


class FaultError(ValueError):
    """A fault that was asked for can't be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a fault: its check, the same in words, and its default."""

    check: Callable[[Any], bool]
    meaning: str
    default: object = None

    def value(self, name: str, description: Mapping[str, Any]) -> object:
        """Return the field's value in a description; raise FaultError if it won't do."""
        value = description.get(name, self.default)
        if value is _REQUIRED:
            raise FaultError(f"{name}: missing; it is {self.meaning}")
        if value is not self.default and not self.check(value):
            raise FaultError(f"{name}: {value!r} is not {self.meaning}")
        return value


Fields: TypeAlias = Mapping[str, Field]


def parse(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a Fault from its description; raise FaultError on the first flaw."""
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FaultError(f"kind: {kind!r} is none of {', '.join(KINDS)}")
    scope, details = (_DOWN_SCOPE, {}) if kind == "down" else (_SCOPE, KINDS[kind])
    for name in description:
        if name not in {"kind", *scope, *details}:
            takes = ", ".join([*details, *scope])
            raise FaultError(f"{name}: not a field of {kind!r}, which takes {takes}")
    fields: dict[str, Any] = {name: field.value(name, description) for name, field in scope.items()}
    fields["details"] = {name: field.value(name, description) for name, field in details.items()}
    return {**fields, "kind": kind, "method": _method(kind, fields.get("method"))}


def _method(kind: str, method: str | None) -> str | None:
    """Return a method's bare name; faults of the price hit get_index_price alone."""
    name = method.removeprefix("public/") if method else None
    if kind not in _PRICE_KINDS:
        return name
    if name not in (None, PRICE_METHOD):
        raise FaultError(f"method: {kind!r} hits {PRICE_METHOD} alone, not {name!r}")
    return PRICE_METHOD


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(default: object = None) -> Field:
    return Field(
        lambda value: isinstance(value, str) and value.isprintable() and bool(value),
        "a printable text, not empty",
        default,
    )


def _status_field(default: int | None = None) -> Field:
    return Field(
        lambda value: _is_integer(value) and value in _FINAL_STATUSES,
        "an HTTP status from 200 to 599",
        default,
    )


def _seconds(default: object = None) -> Field:
    return Field(
        lambda value: _is_number(value) and 0 < value <= _MAX_SECONDS,
        "a number of seconds above 0, a year at most",
        default,
    )


_SCOPE: Final[Fields] = {
    "method": _text(),
    "index": _text(),
    "times": Field(lambda value: _is_integer(value) and value > 0, "a count above 0"),
    "probability": Field(lambda value: _is_number(value) and 0 <= value <= 1, "from 0 to 1", 1.0),
    "seconds": _seconds(),
}
_DOWN_SCOPE: Final[Fields] = {"seconds": _seconds(_REQUIRED)}
_OFF_SECONDS: Final = Field(
    lambda value: _is_number(value) and abs(value) <= _FARTHEST_SECONDS,
    "a number of seconds, a thousand years at most",
    _REQUIRED,
)
_PRICE_KINDS: Final = frozenset({"price", "wrong_type"})

KINDS: Final[Mapping[str, Fields]] = {
    # in place of the answer
    "error": {
        "code": Field(_is_integer, "an integer", _REQUIRED),
        "message": _text(),
        "data": Field(lambda _: True, "any JSON"),
        "status": _status_field(),
    },
    "html": {"status": _status_field(HTTPStatus.BAD_GATEWAY)},
    "empty": {"status": _status_field(HTTPStatus.TOO_MANY_REQUESTS)},
    "redirect": {
        "status": Field(_REDIRECTS.__contains__, "301, 302, 307 or 308", HTTPStatus.FOUND),
        "location": _text(_REQUIRED),
    },
    "not_object": {"body": _text("[]")},
    # of the connection
    "cut": {},
    "cut_connection": {},
    "reset": {},
    "stall": {
        "stall_seconds": _seconds(60.0),
        "drip": Field(lambda value: isinstance(value, bool), "true or false", default=False),
    },
    "down": {},
    # in the envelope
    "price": {"price": _text(_REQUIRED)},
    "wrong_type": {},
    "stamp": {"off_seconds": _OFF_SECONDS},
    "testnet": {},
    "id_on_get": {"request_id": Field(_is_integer, "an integer", 1)},
    "missing_result": {},
    "without_us_in": {},
    "without_us_out": {},
    "without_us_diff": {},
    "without_testnet": {},
    "without_jsonrpc": {},
}
