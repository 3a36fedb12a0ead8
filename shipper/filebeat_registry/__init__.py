"""Imports Filebeat's registry: each file that Filebeat has read continues at its offset.

    store -> entries --------------+
                                   +-> plan -> importing -> shipper's registry
    disk_files -> matching --------+

Nothing of Filebeat's is ever written to. What cannot be proved is read from its beginning, and that
is said.
"""
