"""The output that appends events to files."""
