"""Liveness: when a process counts as alive, and sends heartbeats."""

import os
import threading

import pytest

from app.worker import heartbeat
from app.worker.heartbeat import (
    MAIN_LOOP_TIMEOUT_SECONDS,
    POOL_TIMEOUT_SECONDS,
    Liveness,
    start_heartbeats,
)


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(heartbeat, "monotonic", clock)
    return clock


def beat_in_a_child(liveness: Liveness) -> None:
    """Let a forked child show that it works, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        liveness.report_task_loop()
        os._exit(0)
    os.waitpid(pid, 0)


def pass_seconds(seconds: int, clock: Clock, liveness: Liveness, *, is_idle: bool) -> None:
    """Let the main loop turn every second."""
    for _ in range(seconds):
        clock.now += 1
        liveness.report_main_loop(is_pool_idle=is_idle)


def is_alive(liveness: Liveness) -> bool:
    return liveness.is_alive


def test_main_loop_is_alive_until_it_is_stuck(clock: Clock) -> None:
    liveness = Liveness()
    clock.now += MAIN_LOOP_TIMEOUT_SECONDS - 1
    assert is_alive(liveness)
    clock.now += 2
    assert not is_alive(liveness)
    liveness.report_main_loop()
    assert is_alive(liveness)


def test_wait_for_the_broker_is_excused(clock: Clock) -> None:
    liveness = Liveness()
    with liveness.waiting_for_broker():
        clock.now += 3600
        assert liveness.is_alive
    assert liveness.is_alive


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it forks beside threads
def test_pool_whose_children_show_nothing_is_stuck_only_while_it_has_work(clock: Clock) -> None:
    liveness = Liveness()
    beat_in_a_child(liveness)
    pass_seconds(100, clock, liveness, is_idle=True)
    assert is_alive(liveness), "an idle worker is none that hangs"
    pass_seconds(int(POOL_TIMEOUT_SECONDS) + 1, clock, liveness, is_idle=False)
    assert not is_alive(liveness)
    beat_in_a_child(liveness)
    assert is_alive(liveness)


def test_children_that_never_show_anything_are_not_judged(clock: Clock) -> None:
    """On macOS they are no forks, and have no memory in common with the worker."""
    liveness = Liveness()
    clock.now += 2 * POOL_TIMEOUT_SECONDS
    liveness.report_main_loop(is_pool_idle=False)
    assert liveness.is_alive


def test_sender_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.01)
    given, released = threading.Semaphore(0), threading.Event()
    heartbeat.liveness.report_main_loop()
    start_heartbeats(released.wait, given.release)  # type: ignore[arg-type]  # their results are ignored
    assert all(given.acquire(timeout=5) for _ in range(3))
    released.set()
