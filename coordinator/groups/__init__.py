"""Groups and resources: who owns them, where they go, and what follows when they fail."""
