"""The real cores in one thread: virtual time, a pretended network, seeds, and promises checked."""
