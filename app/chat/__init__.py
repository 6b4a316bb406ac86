"""The domain: sessions, messages and streams as data; the ports to model servers and history. No tasks, no I/O."""
