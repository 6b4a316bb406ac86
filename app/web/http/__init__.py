"""HTTP features that aiohttp lacks: content negotiation, forwarded headers, addresses."""
