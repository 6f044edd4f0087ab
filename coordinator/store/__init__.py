"""What the coordinator remembers: the store, its rows, and their mirror in memory."""
