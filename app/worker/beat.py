"""Beat's scheduler: it sends tasks at times aligned to the epoch, and reports its liveness."""

import signal
from types import FrameType
from typing import Any

import structlog
from celery.beat import Scheduler, SchedulingError
from celery.schedules import BaseSchedule, schedstate

from app.worker.heartbeat import liveness

MAX_SLEEP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class EpochAlignedSchedule(BaseSchedule):  # type: ignore[misc]  # celery ships no types
    """Is due once in each period of so many seconds since the epoch, and when beat starts.

    A `timedelta` schedule would restart its phase with every beat. A task is due whenever the
    period is another one, not only a later one, so a clock that is set back does not silence beat.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._last_period: int | None = None

    def is_due(self, last_run_at: object) -> schedstate:  # noqa: ARG002  # celery's interface
        """Return whether a new period began, and the seconds until the next one begins."""
        period, elapsed = divmod(self.now().timestamp(), self.seconds)
        is_due = period != self._last_period
        self._last_period = int(period)
        return schedstate(is_due=is_due, next=self.seconds - elapsed)


class EpochAlignedScheduler(Scheduler):  # type: ignore[misc]  # celery ships no types
    """Sends due tasks, and reads the clock at least once a second.

    Celery's own scheduler keeps a heap of wall-clock times, so a clock that is set back stops it.
    """

    is_ending = False

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401  # celery passes its internals
        """Send due tasks; return the seconds until the next call."""
        pauses = [MAX_SLEEP_SECONDS]
        for entry in list(self.schedule.values()):
            liveness.report_main_loop()
            is_due, pause = entry.is_due()
            if is_due:
                self._send(entry)
            pauses.append(pause)
        return float(min(pauses))

    def _send(self, entry: Any) -> None:  # noqa: ANN401  # celery's entry
        """Send one task; if the broker is away, its next period is the retry."""
        self.reserve(entry)
        try:
            self.apply_async(entry, producer=self.producer, advance=False)
        except SchedulingError as error:
            if self.is_ending:
                raise SystemExit from error
            log.warning("task_not_sent", task=entry.name, detail=str(error))


def end_beat_on_signal(sender: Any, **_: object) -> None:  # noqa: ANN401  # celery's beat service
    """Make beat end on SIGTERM and SIGINT also while it sends a task.

    Celery's handlers close the broker's connection and raise SystemExit. In a read from the broker
    redis-py then fails with a ValueError instead; Celery takes that for a failed send and goes on.
    """

    def end(number: int, frame: FrameType | None) -> None:
        sender.scheduler.is_ending = True
        celery_handlers[number](number, frame)

    celery_handlers: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
    }
    for number, handler in celery_handlers.items():
        if callable(handler):  # a beat within a worker has none
            signal.signal(number, end)
