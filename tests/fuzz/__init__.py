"""Fuzzing of every parser of bytes that others wrote: one table of targets, and what runs it.

    ./dev fuzz [TARGET...] [--runs N | --seconds S] [--seed N]

The test suite runs the table (`table.py`) with hypothesis, and replays the corpus that is kept
(`corpus/TARGET/*`).
"""
