"""Keyset cursors: where a page ended, tied to the list that it belongs to."""

import base64
import binascii
import hashlib
import re

from app.core.errors import ParametersInvalid

PAYLOAD = re.compile(r"(-?[0-9]{1,18})\.([0-9a-f]{16})")


def write_cursor(position: int, scope: str) -> str:
    """Make the cursor that leads on from a position in the list that `scope` names."""
    payload = f"{position}.{_digest(scope)}"
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def read_cursor(cursor: str, scope: str) -> int:
    """Give the position that a cursor leads on from.

    Raises:
        ParametersInvalid: it is no cursor, or belongs to another list.
    """
    match = PAYLOAD.fullmatch(_decode(cursor))
    if match is None:
        raise ParametersInvalid({"cursor": "is no cursor that this service gave out"})
    if match[2] != _digest(scope):
        raise ParametersInvalid({"cursor": "belongs to another list, ticker or order"})
    return int(match[1])


def _decode(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        return ""


def _digest(scope: str) -> str:
    """Tell lists apart; this guards against mistakes, not against malice."""
    return hashlib.sha256(scope.encode()).hexdigest()[:16]
