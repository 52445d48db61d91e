"""PostgreSQL and Valkey from Python wheels, and the whole stack of `run` and `demo`."""
