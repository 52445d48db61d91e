"""Cursors."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.cursors import decode_cursor, encode_cursor
from app.core.errors import ParametersInvalid

POSITIONS = st.integers(-(10**18) + 1, 10**18 - 1)


@given(POSITIONS, st.text())
def test_cursor_leads_back_to_its_position(position: int, scope: str) -> None:
    cursor = encode_cursor(position, scope)
    assert decode_cursor(cursor, scope) == position
    assert cursor.isascii()
    assert len(cursor) <= 100
    assert not set(cursor) & set("+/=&?#% ")


@given(POSITIONS, st.text(), st.text())
def test_cursor_is_good_for_its_list_only(position: int, scope: str, other: str) -> None:
    if scope != other:
        with pytest.raises(ParametersInvalid, match="another list"):
            decode_cursor(encode_cursor(position, scope), other)


@given(st.text(max_size=100))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(ParametersInvalid) as caught:
        decode_cursor(text, "scope")
    assert list(caught.value.errors) == ["cursor"]


@given(st.binary(max_size=75))
def test_no_bytes_in_base64_break_the_reading(payload: bytes) -> None:
    with pytest.raises(ParametersInvalid):
        decode_cursor(base64.urlsafe_b64encode(payload).decode(), "scope")
