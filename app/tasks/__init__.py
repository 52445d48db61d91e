"""Celery tasks of a line or two each, over the services."""
