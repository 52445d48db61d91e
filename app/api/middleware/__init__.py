"""Middleware, which every request passes whatever its route."""
