"""Benchmarks: the service beside others, on the same machine, in the same minutes."""
