"""Sockets, LUN files and the log of writes: what acts, and decides nothing."""
