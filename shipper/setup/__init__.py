"""`shipper setup`: what a cluster needs for Tetragon's events, and how it gets there.

`fields` has the types of the fields, `templates` the index template, `ingest` the pipeline for raw
documents, `command` what is there already and what is to be done, `done` what was.
"""
