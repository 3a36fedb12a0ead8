"""The configuration: its types with their defaults, and how a file becomes one of them."""
