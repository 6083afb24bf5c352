"""Serve the files inside squashfs archives in S3 as S3 objects of their own."""
