"""The demo: generated Tetragon logs, the real daemon as a process, a receiver, and an audit.

`events` and `generator` write the logs; `bulk_api` is the server's side of `_bulk` without a
socket, and `receiver` serves it (`serving`) and counts (`audit`); `process` owns the daemon's
process;
`play` runs them together, and `run` is the command. The tests' misbehaving server and their log
directories are made of the same parts.
"""
