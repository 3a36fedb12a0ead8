"""Outputs: destinations, deliveries, outcomes of events, and dead letters."""
