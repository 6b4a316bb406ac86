"""The servers under measurement: this one, and its peers."""
