"""Imports Filebeat's registry: each file that Filebeat has read continues at its offset.

    store -> entries --------------+
                                   +-> plan -> importing -> shipper's registry
    disk_files -> matching --------+

Filebeat's files are only read. A file is read from its beginning if its offset cannot be proved;
the report shows this.
"""
