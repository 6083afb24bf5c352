"""The endpoint under load, beside `rclone serve s3` and nginx over the same files."""
