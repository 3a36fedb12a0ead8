"""`shipper deadletter`: shows dead letters, and sends them again once the cause is fixed."""
