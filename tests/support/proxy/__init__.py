"""A proxy that counts requests, and breaks them where a test says so."""
