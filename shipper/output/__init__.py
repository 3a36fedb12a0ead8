"""Where events go: one bulk request's life, and what it needs (hosts, transport, dead letters)."""
