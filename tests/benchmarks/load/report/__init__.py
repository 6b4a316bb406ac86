"""What the measurements say: table, JSON and plot."""
