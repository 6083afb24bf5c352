"""Child processes and threads that tests start, bound and wait for."""
