"""Networks: roles, metrics, states, and the order of live migration."""
