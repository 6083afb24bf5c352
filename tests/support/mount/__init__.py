"""What stands on the other side of a mount: a kernel for sessions, and real mounts."""
