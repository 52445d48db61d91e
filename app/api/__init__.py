"""HTTP: a thin skin over the services."""
