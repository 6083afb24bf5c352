"""Serves the files inside squashfs archives in S3 as if each were an S3 object of its own."""
