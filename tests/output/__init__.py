"""Tests of the way to Elasticsearch, from an answer's meaning to a connection that is cut."""
