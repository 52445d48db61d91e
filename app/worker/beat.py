"""Beat's scheduler: wakes are aligned to the epoch, and each round of its loop is a heartbeat."""

from typing import Any

import structlog
from celery.beat import Scheduler, SchedulingError
from celery.schedules import BaseSchedule, schedstate

from app.worker.heartbeat import progress

MAX_NAP_SECONDS = 1.0

log = structlog.get_logger(__name__)


class EpochAlignedSchedule(BaseSchedule):  # type: ignore[misc]  # celery ships no types
    """Wakes once in each stretch of so many seconds since the epoch, and at once when beat starts.

    A `timedelta` schedule would start its phase anew with every beat. A number that differs,
    rather than one that grows, keeps a clock that is set back from silencing beat.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._woken: int | None = None

    def is_due(self, last_run_at: object) -> schedstate:  # noqa: ARG002  # the grid knows better
        """Tell whether a new stretch began, and how long until the next one does."""
        number, into = divmod(self.now().timestamp(), self.seconds)
        is_new = number != self._woken
        self._woken = int(number)
        return schedstate(is_due=is_new, next=self.seconds - into)


class EpochAlignedScheduler(Scheduler):  # type: ignore[misc]  # celery ships no types
    """Sends what is due on the grid, and looks at the clock often.

    Celery's own scheduler keeps a heap of wall-clock times, which a clock that is set back stops.
    """

    def tick(self, *_: Any, **__: Any) -> float:  # noqa: ANN401  # celery passes its internals
        """Send what is due; tell for how long there is nothing to do."""
        naps = [MAX_NAP_SECONDS]
        for entry in list(self.schedule.values()):
            progress.turn()
            is_due, nap = entry.is_due()
            if is_due:
                self._send(entry)
            naps.append(nap)
        return float(min(naps))

    def _send(self, entry: Any) -> None:  # noqa: ANN401  # celery's entry
        """Send one task; while the broker is away the next wake tries again."""
        self.reserve(entry)
        try:
            self.apply_async(entry, producer=self.producer, advance=False)
        except SchedulingError as error:
            log.warning("task_not_sent", task=entry.name, detail=str(error))
