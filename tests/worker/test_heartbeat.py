"""Progress: what counts as a sign that a process gets on."""

import os
import threading

import pytest

from app.worker import heartbeat
from app.worker.heartbeat import POOL_STUCK_SECONDS, STUCK_SECONDS, Progress, show_life


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


def work_in_a_child(progress: Progress) -> None:
    """Let a forked child show that it works, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        progress.work()
        os._exit(0)
    os.waitpid(pid, 0)


def pass_seconds(seconds: int, clock: Clock, progress: Progress, *, is_idle: bool) -> None:
    """Let the main loop turn every second."""
    for _ in range(seconds):
        clock.now += 1
        progress.turn(is_idle=is_idle)


def gets_on(progress: Progress) -> bool:
    return progress.is_made


def test_main_loop_that_turns_makes_progress_until_it_is_stuck(clock: Clock) -> None:
    progress = Progress()
    clock.now += STUCK_SECONDS - 1
    assert gets_on(progress)
    clock.now += 2
    assert not gets_on(progress)
    progress.turn()
    assert gets_on(progress)


def test_wait_for_the_broker_is_excused(clock: Clock) -> None:
    progress = Progress()
    with progress.waiting():
        clock.now += 3600
        assert progress.is_made
    assert progress.is_made


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it forks beside threads
def test_pool_whose_children_show_nothing_is_stuck_only_while_it_has_work(clock: Clock) -> None:
    progress = Progress()
    work_in_a_child(progress)
    pass_seconds(100, clock, progress, is_idle=True)
    assert gets_on(progress), "an idle worker is none that hangs"
    pass_seconds(int(POOL_STUCK_SECONDS) + 1, clock, progress, is_idle=False)
    assert not gets_on(progress)
    work_in_a_child(progress)
    assert gets_on(progress)


def test_children_that_never_show_anything_are_not_judged(clock: Clock) -> None:
    """On macOS they are no forks, and have no memory in common with the worker."""
    progress = Progress()
    clock.now += 2 * POOL_STUCK_SECONDS
    progress.turn(is_idle=False)
    assert progress.is_made


def test_sign_that_hangs_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "PAUSE_SECONDS", 0.01)
    given, released = threading.Semaphore(0), threading.Event()
    heartbeat.progress.turn()
    show_life(released.wait, given.release)  # type: ignore[arg-type]  # their results are ignored
    assert all(given.acquire(timeout=5) for _ in range(3))
    released.set()
