"""Records index prices of crypto exchanges every minute, exactly once, and serves them."""

__version__ = "0.1.0"
