"""Keyset cursors: the position where a page ended, and a digest of its list."""

import base64
import binascii
import hashlib
import re

from app.core.errors import ParametersInvalid

PAYLOAD_PATTERN = re.compile(r"(-?[0-9]{1,18})\.([0-9a-f]{16})")


def encode_cursor(position: int, scope: str) -> str:
    """Return the cursor of a position in the list that `scope` names."""
    payload = f"{position}.{_digest(scope)}"
    return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, scope: str) -> int:
    """Return the position of a cursor.

    Raises:
        ParametersInvalid: it is not a cursor, or belongs to another list.
    """
    match = PAYLOAD_PATTERN.fullmatch(_decode_or_empty(cursor))
    if match is None:
        raise ParametersInvalid({"cursor": "is no cursor that this service gave out"})
    if match[2] != _digest(scope):
        raise ParametersInvalid({"cursor": "belongs to another list, ticker or order"})
    return int(match[1])


def _decode_or_empty(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        return ""


def _digest(scope: str) -> str:
    """Identify a list; this guards against mistakes, not against attacks."""
    return hashlib.sha256(scope.encode()).hexdigest()[:16]
