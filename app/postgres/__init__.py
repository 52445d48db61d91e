"""The connection to PostgreSQL: pools, sessions, tables, errors."""
