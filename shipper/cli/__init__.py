"""The command lines: `shipper`, and Filebeat's for the image."""
