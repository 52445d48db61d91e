"""Beat and workers: Celery's configuration, schedule, signals, event loop and heartbeats."""
