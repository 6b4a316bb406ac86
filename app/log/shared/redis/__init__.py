"""What leads to Redis: a server, what Sentinels say is one, or the shards of a Redis Cluster."""
