"""All SQL. Functions take a session or a raw connection; none of them commits."""
