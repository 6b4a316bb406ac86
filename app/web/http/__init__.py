"""Parts of HTTP that aiohttp leaves to applications: negotiation, forwarded headers, addresses."""
