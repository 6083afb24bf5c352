"""Stand-ins for AWS services, and what they make of the project's output."""
