"""The chunk cache: pages as from one sorted list, in bounded memory, without what changed."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.changed_slots import EVERYTHING, Change
from app.domain.chunk_cache import CHUNK_SECONDS, CHUNKS_AT_ONCE, MAX_CHUNKS, ChunkCache
from app.domain.encoded_rows import Column, EncodedChunk, EncodedPage, RowTemplate
from app.domain.prices import Order, TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
TEMPLATE = RowTemplate((Column.TIMESTAMP, "=", Column.PRICE), separator=";")
MEGABYTE = 1_000_000
STEP = 600
ROWS_PER_CHUNK = CHUNK_SECONDS // STEP
BYTES_OF_TWO_ROWS = len("0=1;60=2") + 2 * 8 + 600
"""As in `_fill`: the text, an offset of eight bytes a row, and 600 for the objects."""


def _chunk(slots: Sequence[int]) -> EncodedChunk:
    text = ";".join(f"{slot}={slot % 7}" for slot in slots).encode()
    last = Slot(slots[-1]) if slots else None
    grid_seconds = 1 if any(slot % STEP for slot in slots) else STEP
    return EncodedChunk(text, len(slots), last, TEMPLATE, grid_seconds)


def _span(number: int) -> TimeRange:
    return TimeRange(number * CHUNK_SECONDS, (number + 1) * CHUNK_SECONDS - 1)


def _cache_of(slots: Iterable[int], numbers: Sequence[int]) -> ChunkCache:
    """Cache these chunks of a ticker whose rows have these slots."""
    cache, ascending = ChunkCache(MEGABYTE), sorted(slots)
    inside = [[slot for slot in ascending if slot // CHUNK_SECONDS == one] for one in numbers]
    cache.put(BTC, numbers, list(map(_chunk, inside)))
    return cache


def _fill(cache: ChunkCache, numbers: Iterable[int], key: TickerKey = BTC) -> None:
    """Cache chunks that take the memory of two rows each."""
    for number in numbers:
        cache.put(key, [number], [EncodedChunk(b"0=1;60=2", 2, Slot(60), TEMPLATE)])


def _page(
    cache: ChunkCache,
    time_range: TimeRange,
    limit: int = 1_000,
    order: Order = Order.ASC,
    recordings: tuple[Recording, ...] = (),
) -> EncodedPage:
    page = cache.find_page(BTC, time_range, limit, order, recordings)
    assert isinstance(page, EncodedPage)
    return page


def _slots(page: EncodedPage) -> list[int]:
    lines = b";".join(page.pieces).decode()
    return [int(line.partition("=")[0]) for line in lines.split(";") if line]


def _cached(cache: ChunkCache, numbers: Iterable[int], key: TickerKey = BTC) -> list[int]:
    pages = {number: cache.find_page(key, _span(number), 9) for number in numbers}
    return [number for number, page in pages.items() if isinstance(page, EncodedPage)]


ROWS = st.sets(st.integers(0, 4 * ROWS_PER_CHUNK - 1)).map(
    lambda places: sorted(place * STEP for place in places)
)
SECONDS = st.integers(0, 4 * CHUNK_SECONDS - 1)


@given(ROWS, SECONDS, SECONDS, st.integers(1, 50), st.sampled_from(Order))
def test_page_is_the_begin_or_the_end_of_what_lies_in_the_range(
    slots: list[int], start: int, end: int, limit: int, order: Order
) -> None:
    start, end = sorted((start, end))
    page = _page(_cache_of(slots, range(4)), TimeRange(start, end), limit, order)
    wanted = [slot for slot in slots if start <= slot <= end]
    if order is Order.DESC:
        wanted.reverse()
    assert _slots(page) == wanted[:limit]
    assert (page.count, page.has_more) == (len(wanted[:limit]), len(wanted) > limit)
    assert page.last == (wanted[:limit][-1] if wanted else None)
    assert all(page.pieces), "no piece is empty, or it would be joined by a separator"


@pytest.mark.parametrize("order", Order)
def test_pages_have_the_same_tag_exactly_if_they_are_equal(order: Order) -> None:
    cache = _cache_of(range(0, 2 * CHUNK_SECONDS, 1_800), range(2))
    ends = range(0, 2 * CHUNK_SECONDS, 900)
    pages = [
        _page(cache, TimeRange(start, end), limit, order)
        for start in ends
        for end in ends
        if start <= end
        for limit in (1, 2, 5, 9)
    ]
    contents = {(page.tag, b";".join(page.pieces)) for page in pages}
    assert len(contents) == len({tag for tag, _ in contents}) == len({text for _, text in contents})


def test_tag_changes_with_a_price() -> None:
    tags = set()
    for text in (b"0=1;60=2", b"0=1;60=3"):
        cache = ChunkCache(MEGABYTE)
        cache.put(BTC, [0], [EncodedChunk(text, 2, Slot(60), TEMPLATE)])
        tags.add(_page(cache, TimeRange(0, 60)).tag)
    assert len(tags) == 2


def test_every_chunk_needs_its_number() -> None:
    with pytest.raises(ValueError, match="zip"):
        ChunkCache(MEGABYTE).put(BTC, [0, 1], [_chunk([])])


def test_missing_chunks_are_named_as_many_as_are_read_at_once() -> None:
    span = TimeRange(100 * CHUNK_SECONDS, 120 * CHUNK_SECONDS)
    cache = _cache_of([], [100, 105])
    assert cache.find_page(BTC, span, 9) == [*range(101, 105), *range(106, 114)]
    assert cache.find_page(BTC, span, 9, Order.DESC) == list(range(108, 121))
    assert cache.find_page(ETH, span, 9) == list(range(100, 113))
    assert CHUNKS_AT_ONCE == 13


def test_chunks_after_a_full_page_are_not_missed() -> None:
    span = TimeRange(0, 4 * CHUNK_SECONDS - 1)
    cache = _cache_of([0, 600, 3 * CHUNK_SECONDS, 3 * CHUNK_SECONDS + 600], [0, 3])
    assert _slots(_page(cache, span, 1)) == [0]
    assert _slots(_page(cache, span, 1, Order.DESC)) == [3 * CHUNK_SECONDS + 600]
    assert cache.find_page(BTC, span, 2) == [1, 2], "or nobody knows whether there are more"


@pytest.mark.parametrize(
    ("time_range", "is_held"),
    [
        (TimeRange(0, 60), True),
        (TimeRange(1, MAX_CHUNKS * CHUNK_SECONDS - 1), True),
        (TimeRange(1, MAX_CHUNKS * CHUNK_SECONDS), False),
        (TimeRange(CHUNK_SECONDS - 1, MAX_CHUNKS * CHUNK_SECONDS), False),
        (TimeRange(CHUNK_SECONDS, MAX_CHUNKS * CHUNK_SECONDS), True),
        (TimeRange(0), False),
        (TimeRange(None, 60), False),
        (TimeRange(), False),
    ],
)
def test_range_with_two_ends_that_touches_few_chunks_can_be_held(
    time_range: TimeRange,
    is_held: bool,  # noqa: FBT001  # a column of the table above
) -> None:
    assert ChunkCache(1).can_hold(time_range) == is_held
    assert not ChunkCache(0).can_hold(time_range)


def test_least_recently_used_chunk_makes_room() -> None:
    cache = ChunkCache(20 * BYTES_OF_TWO_ROWS)
    _fill(cache, range(20))
    assert _cached(cache, [0]) == [0]
    _fill(cache, [20])
    assert _cached(cache, range(21)) == [0, *range(2, 21)]


def test_one_byte_too_little_holds_one_chunk_less() -> None:
    cache = ChunkCache(20 * BYTES_OF_TWO_ROWS - 1)
    _fill(cache, range(20))
    assert _cached(cache, range(20)) == list(range(1, 20))


def test_chunks_that_are_read_at_once_are_held_whatever_their_size() -> None:
    cache = ChunkCache(1)
    _fill(cache, range(20))
    assert _cached(cache, range(20)) == list(range(7, 20))


def test_chunk_that_is_replaced_or_invalidated_leaves_its_room() -> None:
    cache = ChunkCache(20 * BYTES_OF_TWO_ROWS)
    _fill(cache, range(20))
    _fill(cache, [3, 3, 3])
    assert _cached(cache, range(20)) == list(range(20))
    cache.invalidate(Change(BTC, Slot(0), Slot(2 * CHUNK_SECONDS - 1)))
    _fill(cache, [20, 21])
    assert _cached(cache, range(22)) == list(range(2, 22))
    _fill(cache, [22])
    assert _cached(cache, range(23)) == list(range(3, 23))
    cache.invalidate(EVERYTHING)
    assert _cached(cache, range(23)) == []
    _fill(cache, range(21))
    assert _cached(cache, range(21)) == list(range(1, 21))


NUMBERS = st.sets(st.integers(0, 9), max_size=6)
CHANGED = st.integers(0, 10 * CHUNK_SECONDS)


@given(NUMBERS, NUMBERS, CHANGED, st.integers(0, 20 * CHUNK_SECONDS))
def test_change_removes_the_chunks_of_its_ticker_that_it_overlaps(
    of_btc: set[int], of_eth: set[int], first: int, seconds: int
) -> None:
    cache = ChunkCache(MEGABYTE)
    _fill(cache, of_btc)
    _fill(cache, of_eth, ETH)
    change = Change(BTC, Slot(first), Slot(first + seconds))
    cache.invalidate(change)
    assert _cached(cache, range(10)) == [
        number
        for number in sorted(of_btc)
        if not change.overlaps(BTC, number * CHUNK_SECONDS, (number + 1) * CHUNK_SECONDS - 1)
    ]
    assert _cached(cache, range(10), ETH) == sorted(of_eth)


def _recording(first: int, last: int | None = None) -> Recording:
    return Recording(BTC, STEP, Slot(first), None if last is None else Slot(last))


FULL = range(0, 3 * CHUNK_SECONDS, STEP)


@given(
    st.sets(st.sampled_from(FULL), max_size=3),
    st.integers(0, 3 * CHUNK_SECONDS - 1),
    st.integers(0, 3 * CHUNK_SECONDS - 1),
    st.integers(1, 40),
    st.sampled_from([0, CHUNK_SECONDS, CHUNK_SECONDS + STEP]),
)
def test_page_is_complete_if_every_second_is_promised_and_every_slot_has_a_row(
    missing: set[int], start: int, end: int, limit: int, promised_from: int
) -> None:
    start, end = sorted((start, end))
    cache = _cache_of(set(FULL) - missing, range(3))
    page = _page(cache, TimeRange(start, end), limit, recordings=(_recording(promised_from),))
    until = page.last if page.has_more and page.last is not None else end
    assert page.is_complete == (
        page.count > 0
        and start >= promised_from
        and not any(start <= slot <= until for slot in missing)
    )


def test_page_is_open_where_a_recording_begins_or_ends() -> None:
    """The recording goes from 02:00 to 04:00, and every slot has a row."""
    cache = _cache_of(FULL, range(3))
    recordings = (_recording(CHUNK_SECONDS, 2 * CHUNK_SECONDS - STEP),)
    whole = TimeRange(CHUNK_SECONDS, 2 * CHUNK_SECONDS - 1)
    assert _page(cache, whole, recordings=recordings).is_complete
    second_before = TimeRange(CHUNK_SECONDS - 1, 2 * CHUNK_SECONDS - 1)
    assert not _page(cache, second_before, recordings=recordings).is_complete
    second_after = TimeRange(CHUNK_SECONDS, 2 * CHUNK_SECONDS)
    assert not _page(cache, second_after, recordings=recordings).is_complete


def test_rows_beside_the_slots_do_not_make_up_for_missing_ones() -> None:
    """There are as many rows as slots, and one of them lies a second after its slot."""
    slots, recordings = [*range(0, CHUNK_SECONDS, STEP)], (_recording(0),)
    slots[3] += 1
    cache = _cache_of(slots, [0])
    assert not _page(cache, TimeRange(0, CHUNK_SECONDS - 1), recordings=recordings).is_complete
    assert _page(cache, TimeRange(0, 3 * STEP - 1), recordings=recordings).is_complete


def test_page_is_open_up_to_its_last_row_or_if_it_is_the_last_one_up_to_its_end() -> None:
    cache, recordings = _cache_of([0, 600, 1_200, 2_400], [0]), (_recording(0),)
    whole, without_end = TimeRange(0, 2_400), TimeRange(0, 2_399)
    assert _page(cache, whole, 3, recordings=recordings).is_complete
    assert not _page(cache, whole, 4, recordings=recordings).is_complete
    assert not _page(cache, without_end, recordings=recordings).is_complete
    assert _page(cache, TimeRange(0, 1_799), recordings=recordings).is_complete


def test_completeness_follows_the_recordings() -> None:
    cache, span = _cache_of(FULL, range(3)), TimeRange(0, CHUNK_SECONDS)
    for recordings in ((_recording(0),), (_recording(STEP),), (_recording(0),)):
        for _ in range(2):
            is_complete = _page(cache, span, recordings=recordings).is_complete
            assert is_complete == (recordings[0].first_slot == 0)
    assert not _page(cache, span).is_complete, "nothing is promised"


def test_page_without_rows_is_never_complete() -> None:
    cache = _cache_of(FULL, range(3))
    assert not _page(cache, TimeRange(1, 599), recordings=(_recording(0),)).is_complete
