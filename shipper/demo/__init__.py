"""The demo: generated Tetragon logs, the real daemon as a process, a receiver, and an audit.

`events` and `generator` write the logs; `bulk_api` is the server's side of `_bulk` without a
socket, `receiver` serves it (`serving`) and counts documents (`audit`), `process` owns the daemon.
`play` runs them together, and `run` is the command. The tests use the same parts for their faulty
server and log directories.
"""
