"""What an open page is sent: snapshots, rendered blocks, one event stream for all tabs."""
