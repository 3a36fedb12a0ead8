"""Imports Filebeat's registry: each file continues where Filebeat has stopped.

    store -> entries ------+
                           +-> plan -> importing -> shipper's registry
    live (files) -> judge -+

Filebeat's files are only read. A file is read from its beginning if its offset cannot be proved;
the report says so.
"""
