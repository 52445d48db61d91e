"""Celery's side: configuration, schedule, signals, event loop and heartbeat of its processes."""
