"""The pure core: the lifecycle of a stream. No sockets, no files, and no clock except the event loop's."""
