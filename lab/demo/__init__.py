"""The demonstration: eight steps with a running cluster, each of which checks itself."""
