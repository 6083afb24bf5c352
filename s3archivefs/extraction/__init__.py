"""Members of an image made in a directory, so that they can do no harm."""
