"""What processes share through Redis: rate limits, heartbeats, counters, queues."""
