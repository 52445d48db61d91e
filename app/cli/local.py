"""The commands `run` and `demo`, which run the whole service on this machine."""

from app import entrypoints


def run() -> None:
    """Run everything here: PostgreSQL, Redis, API, worker and beat, on the real exchange."""
    entrypoints.run_stack()


def demo() -> None:
    """Run everything here against a stand-in exchange, with two days of history to look at."""
    entrypoints.run_demo()
