"""Filebeat's registry, taken over: where each file goes on that Filebeat has read until now.

    store -> entries ------+
                           +-> plan -> takeover -> our own registry
    live (files) -> judge -+

Nothing of Filebeat's is ever written to. What cannot be proved is read from its beginning, and that
is said.
"""
