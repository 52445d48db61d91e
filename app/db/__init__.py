"""The servers behind the service: PostgreSQL and Redis."""
