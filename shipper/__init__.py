"""shipper: Cilium Tetragon logs into Elasticsearch and OpenSearch, none lost, none doubled."""

__version__ = "0.1.0"
