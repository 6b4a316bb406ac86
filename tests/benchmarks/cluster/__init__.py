"""What the nodes of a cluster cost."""
