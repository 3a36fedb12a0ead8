"""Go's time layouts and regular expressions, as Filebeat's configuration uses them."""
