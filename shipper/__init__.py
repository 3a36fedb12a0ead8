"""shipper: Cilium Tetragon logs into Elasticsearch and OpenSearch, nothing lost, nothing doubled."""

__version__ = "0.1.0"
