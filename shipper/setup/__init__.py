"""`shipper setup`: installs the index template and ingest pipeline for Tetragon's events.

`fields` has the field types, `templates` the index template, `ingest` the pipeline for raw
documents, `command` compares them with the cluster and installs them, `results` has the report.
"""
