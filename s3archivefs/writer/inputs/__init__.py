"""Sources of members: directories, archives, images."""
