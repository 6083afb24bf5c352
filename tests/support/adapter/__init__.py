"""The adapter without its servers: archives, operations and requests for tests."""
