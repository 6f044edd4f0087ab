"""How a person drives a cluster: the commands of `hvlab` that speak HTTP, and nothing but HTTP."""
