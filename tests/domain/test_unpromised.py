"""What of a wished recording no other one promises."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.prices import TickerKey
from app.domain.recordings import Recording, subtract_recordings
from app.domain.slots import Slot

BTC = TickerKey("deribit", "btc_usd")
INTERVALS = st.sampled_from([1, 2, 3, 5])


def _recording(first: int, last: int | None, interval: int) -> Recording:
    end = None if last is None else Slot(last * interval)
    return Recording(BTC, interval, Slot(first * interval), end)


def _seconds(recording: Recording, until: int = 400) -> set[int]:
    """Give every second that a recording promises."""
    end = until if recording.last_slot is None else recording.last_slot
    return set(range(recording.first_slot, end + recording.interval_seconds))


@st.composite
def _closed(draw: st.DrawFn) -> Recording:
    first = draw(st.integers(0, 30))
    return _recording(first, first + draw(st.integers(0, 30)), draw(INTERVALS))


@st.composite
def _known(draw: st.DrawFn) -> list[Recording]:
    """Recordings without overlaps, of any intervals; the last may be open."""
    recordings, at = [], 0
    for _ in range(draw(st.integers(0, 4))):
        step = draw(INTERVALS)
        first = -(-at // step) + draw(st.integers(0, 5))
        last = first + draw(st.integers(0, 8))
        recordings.append(_recording(first, last, step))
        at = (last + 1) * step
    if draw(st.booleans()):
        step = draw(INTERVALS)
        recordings.append(_recording(-(-at // step) + draw(st.integers(0, 5)), None, step))
    return recordings


@given(_closed(), _known())
def test_what_remains_are_the_slots_that_overlap_nothing(
    wished: Recording, known: list[Recording]
) -> None:
    promised = set().union(*map(_seconds, known))
    step = wished.interval_seconds
    slots = range(wished.first_slot, (wished.last_slot or 0) + 1, step)
    free = [slot for slot in slots if promised.isdisjoint(range(slot, slot + step))]
    parts = subtract_recordings(wished, known)
    found = [
        slot for part in parts for slot in range(part.first_slot, (part.last_slot or 0) + 1, step)
    ]
    assert found == free
    assert {part.interval_seconds for part in parts} <= {step}


def test_an_empty_recording_promises_nothing() -> None:
    wished = _recording(0, 9, 5)
    assert subtract_recordings(wished, [_recording(3, 2, 5)]) == [wished]


def test_of_an_open_recording_remains_what_lies_before_and_after() -> None:
    parts = subtract_recordings(_recording(0, None, 5), [_recording(4, 6, 5)])
    assert parts == [_recording(0, 3, 5), _recording(7, None, 5)]
