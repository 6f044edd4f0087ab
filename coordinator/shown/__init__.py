"""What people see: pictures of the cluster and the event log."""
