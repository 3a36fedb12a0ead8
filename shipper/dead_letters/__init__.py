"""What people do with dead letters: look at them, and send them again once the cause is mended."""
