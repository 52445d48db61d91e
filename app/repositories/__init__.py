"""All SQL; every function takes a session and none commits."""
