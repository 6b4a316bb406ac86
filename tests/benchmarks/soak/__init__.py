"""The soak: minutes of random sessions, faults and restarts, then an audit of the log and a look for leaks."""
