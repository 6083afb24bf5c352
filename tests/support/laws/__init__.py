"""How tests judge code: by its imports, its patterns and its counted work."""
