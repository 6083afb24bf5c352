"""Images for tests: made by real tools, laid out byte by byte, altered, and read."""
