"""Recordings: what realigning them leaves, whatever the configuration does."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.domain.prices import TickerKey
from app.domain.recordings import Recording, realign
from app.domain.slots import MICROSECONDS, LatestLivePrice, Slot, floor_slot

BTC, ETH, SOL = (TickerKey("deribit", f"{name}_usd") for name in ("btc", "eth", "sol"))
T0 = 1_768_579_200


def _realign(
    known: list[Recording],
    wanted: set[TickerKey],
    seconds: int,
    interval: int = 60,
    edges: dict[TickerKey, LatestLivePrice] | None = None,
) -> list[Recording]:
    newest = {recording.key: recording for recording in known}
    return realign(newest, wanted, interval, edges or {}, (T0 + seconds) * MICROSECONDS)


def test_new_ticker_is_recorded_from_the_present_slot_on() -> None:
    assert _realign([], {BTC}, 90) == [Recording(BTC, 60, Slot(T0 + 60))]


def test_what_is_as_wanted_does_not_change() -> None:
    assert _realign([Recording(BTC, 60, Slot(T0))], {BTC}, 90_000) == []


def test_ticker_taken_out_closes_after_the_last_slot_that_is_over() -> None:
    closed = Recording(BTC, 60, Slot(T0), Slot(T0 + 60))
    assert _realign([Recording(BTC, 60, Slot(T0))], set(), 150) == [closed]


def test_ticker_taken_out_keeps_the_slot_that_is_stored_already() -> None:
    stamp = (T0 + 125) * MICROSECONDS
    edges = {BTC: LatestLivePrice(Slot(T0 + 120), stamp, stamp)}
    closed = Recording(BTC, 60, Slot(T0), Slot(T0 + 120))
    assert _realign([Recording(BTC, 60, Slot(T0))], set(), 150, edges=edges) == [closed]


def test_ticker_taken_out_in_its_first_slot_leaves_nothing() -> None:
    (closed,) = _realign([Recording(BTC, 60, Slot(T0))], set(), 30)
    assert closed.is_empty


def test_other_interval_closes_the_old_recording_and_opens_a_new_one() -> None:
    closed, opened = _realign([Recording(BTC, 60, Slot(T0))], {BTC}, 150, interval=30)
    assert closed == Recording(BTC, 60, Slot(T0), Slot(T0 + 60))
    assert opened == Recording(BTC, 30, Slot(T0 + 150))


def test_recording_closed_a_moment_ago_goes_on() -> None:
    closed = Recording(BTC, 60, Slot(T0), Slot(T0 + 60))
    assert _realign([closed], {BTC}, 150) == [Recording(BTC, 60, Slot(T0))]


def test_recording_goes_on_up_to_two_slots_after_its_last_one() -> None:
    closed = Recording(BTC, 60, Slot(T0), Slot(T0 + 60))
    assert _realign([closed], {BTC}, 239) == [Recording(BTC, 60, Slot(T0))]
    assert _realign([closed], {BTC}, 240) == [Recording(BTC, 60, Slot(T0 + 240))]


def test_recordings_open_and_close_by_the_clock_of_the_exchange() -> None:
    """The exchange is two minutes ahead of the database."""
    stored = LatestLivePrice(Slot(T0 + 120), (T0 + 130) * MICROSECONDS, (T0 + 10) * MICROSECONDS)
    edges = {BTC: stored, ETH: stored}
    closed, opened = _realign([Recording(ETH, 60, Slot(T0))], {BTC}, 80, edges=edges)
    assert opened == Recording(BTC, 60, Slot(T0 + 180))
    assert closed == Recording(ETH, 60, Slot(T0), Slot(T0 + 120))


def test_recording_replaces_an_empty_one_no_earlier_than_that_began() -> None:
    """Earlier recordings may reach to the second before, and the clock may have been set back."""
    empty = Recording(BTC, 60, Slot(T0), Slot(T0 - 60))
    assert _realign([empty], {BTC}, -100, interval=1) == [Recording(BTC, 1, Slot(T0))]


def test_recording_closed_long_ago_stays_closed() -> None:
    closed = Recording(BTC, 60, Slot(T0), Slot(T0 + 60))
    assert _realign([closed], {BTC}, 3600) == [Recording(BTC, 60, Slot(T0 + 3600))]


def test_coarser_interval_begins_after_what_the_finer_one_promised() -> None:
    """The recording of a moment in between was empty, and hid the one before it."""
    table = [Recording(BTC, 30, Slot(T0 - 30), Slot(T0)), Recording(BTC, 60, Slot(T0 + 60))]
    changed = _realign(table, {BTC}, 31, interval=300)
    assert changed[-1] == Recording(BTC, 300, Slot(T0 + 300))


class Realigning(RuleBasedStateMachine):
    """A configuration that changes, on clocks that jump, over a table of recordings."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[tuple[TickerKey, int], Recording] = {}
        self.edges: dict[TickerKey, LatestLivePrice] = {}
        self.wanted: set[TickerKey] = set()
        self.interval = 60
        self.database_us = T0 * MICROSECONDS
        self.changes = 0

    @rule(seconds=st.one_of(st.integers(0, 400), st.integers(-400, -1)))
    def let_time_pass(self, seconds: int) -> None:
        self.database_us += seconds * MICROSECONDS

    @rule(wanted=st.sets(st.sampled_from([BTC, ETH, SOL])), interval=st.sampled_from([60, 30, 300]))
    def configure(self, wanted: set[TickerKey], interval: int) -> None:
        self.wanted, self.interval = wanted, interval
        self._realign()

    @rule(key=st.sampled_from([BTC, ETH, SOL]), off_seconds=st.integers(-90, 90))
    def store_live_row(self, key: TickerKey, off_seconds: int) -> None:
        if key not in self.wanted:
            return
        stamp_us = self.database_us + off_seconds * MICROSECONDS
        slot = floor_slot(stamp_us, self.interval)
        if key not in self.edges or slot > self.edges[key].slot:
            self.edges[key] = LatestLivePrice(slot, stamp_us, self.database_us)

    @rule()
    def realign_again(self) -> None:
        self._realign()
        assert self.changes == 0, "nothing changed in between"

    def _realign(self) -> None:
        newest = self._newest()
        changed = realign(newest, self.wanted, self.interval, self.edges, self.database_us)
        self.changes = len(changed)
        for recording in changed:
            place = (recording.key, recording.first_slot)
            if recording.is_empty:
                self.table.pop(place, None)
            else:
                self.table[place] = recording

    def _newest(self) -> dict[TickerKey, Recording]:
        ordered = sorted(self.table.values(), key=lambda recording: recording.first_slot)
        return {recording.key: recording for recording in ordered}

    @invariant()
    def exactly_the_wanted_tickers_are_open(self) -> None:
        opened = [recording.key for recording in self.table.values() if recording.is_open]
        assert len(opened) == len(set(opened)), "a ticker is open twice"
        assert set(opened) == self.wanted
        assert {r.interval_seconds for r in self.table.values() if r.is_open} <= {self.interval}

    @invariant()
    def recordings_of_a_ticker_do_not_overlap(self) -> None:
        for key in (BTC, ETH, SOL):
            own = sorted(
                (r for r in self.table.values() if r.key == key), key=lambda r: r.first_slot
            )
            for before, after in pairwise(own):
                assert before.last_slot is not None
                assert before.last_slot < after.first_slot

    @invariant()
    def recordings_lie_on_their_grid(self) -> None:
        for recording in self.table.values():
            assert recording.first_slot % recording.interval_seconds == 0


TestRealigning = Realigning.TestCase
TestRealigning.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_two_workers_configured_differently_leave_no_heap() -> None:
    table: dict[tuple[TickerKey, int], Recording] = {}
    for second in range(0, 3600, 20):
        newest = {
            recording.key: recording
            for recording in sorted(table.values(), key=lambda recording: recording.first_slot)
        }
        wanted = {BTC} if second % 40 else {BTC, ETH}
        for change in realign(newest, wanted, 60, {}, (T0 + second) * MICROSECONDS):
            if change.is_empty:
                table.pop((change.key, change.first_slot), None)
            else:
                table[change.key, change.first_slot] = change
    assert len(table) == 2
