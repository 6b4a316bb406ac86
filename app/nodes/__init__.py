"""A server as a node of a cluster. Imported only if `TAILRACE_REDIS_URL` is set."""
