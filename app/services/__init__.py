"""The life of a price; services own the transactions and import no framework."""
