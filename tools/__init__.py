"""What developers run here and users never install."""
