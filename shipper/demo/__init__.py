"""The demo: generated Tetragon logs, the real daemon as a process, a receiver, and an audit.

`events` and `generator` write the logs, `bulk_api` is the server's side of `_bulk` without a socket,
`receiver` serves it and keeps count (`audit`), `process` owns the daemon's process, and `run` plays
the piece. The tests build their misbehaving server and their log directories from the same parts.
"""
