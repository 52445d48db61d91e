"""A worker that ends without being asked to: `python -m tests.worker.ending_worker HOW`."""

import sys
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.exceptions import WorkerTerminate


def _break(_: object) -> None:
    raise RuntimeError("broken in the main loop")


def _terminate(_: object) -> None:
    raise WorkerTerminate(1)  # as Celery does when it may open no more files


def _return(consumer: Any) -> None:  # noqa: ANN401  # celery's
    consumer.blueprint.state = bootsteps.CLOSE


ENDINGS: dict[str, Callable[[Any], None]] = {
    "breaks": _break,
    "terminates": _terminate,
    "returns": _return,
}


class EndWorkerStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
    """Ends the worker as soon as it has a connection."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, consumer: Any) -> None:  # noqa: ANN401  # same
        ENDINGS[sys.argv[-1]](consumer)


if __name__ == "__main__":
    from app.celery_app import celery
    from app.entrypoints import run_worker

    celery.steps["consumer"].add(EndWorkerStep)
    run_worker()
