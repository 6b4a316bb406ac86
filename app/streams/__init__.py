"""The pure heart: the life of a stream, without sockets, files or any clock but the event loop's."""
