"""Tests of the configuration: its file, its values, and the page about it."""
