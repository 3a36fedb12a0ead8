"""Simulations: many seconds of many parts in virtual time, from one seed."""
