"""The durable history: what it keeps, when, and what it does on bad days."""
