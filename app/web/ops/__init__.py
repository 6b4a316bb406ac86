"""The operations page: what runs, what waits, what ended, and how model servers and history are."""
