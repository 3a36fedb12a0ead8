"""Go's times and patterns, as Filebeat's configuration means them."""
