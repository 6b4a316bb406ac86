"""Data for open pages: snapshots, rendered blocks, one event stream shared by all tabs."""
