"""The output that sends bulk requests to Elasticsearch and OpenSearch."""
