"""Whole runs: real files, a real process, a real HTTP server."""
