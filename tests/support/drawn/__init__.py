"""What hypothesis draws: trees, contents, options, and images of them."""
