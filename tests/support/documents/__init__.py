"""The project's pages, and the programs that they call."""
