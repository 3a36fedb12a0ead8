"""Is what stands in deploy/ true: as YAML, against the daemon's own types, and in Tetragon's
charts."""
