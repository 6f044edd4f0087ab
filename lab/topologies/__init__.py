"""The topologies that come with hvlab, one YAML file each."""
