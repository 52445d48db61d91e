"""The commands `run` and `demo`: everything on this machine, with nothing installed."""


def run() -> None:
    """Run everything here: PostgreSQL, Redis, API, worker and beat, on the real exchange."""
    from app.embedded.commands import run as run_here

    run_here()


def demo() -> None:
    """Run everything here against a stand-in exchange, with two days of history to look at."""
    from app.embedded.commands import demo as demo_here

    demo_here()
