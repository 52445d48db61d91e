"""Deribit's public HTTP API v2 (docs.deribit.com), as far as an index recorder needs it."""
