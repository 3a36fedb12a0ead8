"""What an operator looks at: metrics, health, status. Read-only, on loopback by default."""
