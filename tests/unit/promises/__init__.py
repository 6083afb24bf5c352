"""What the adapter promises across its modules: costs, bounds, hostile input."""
