"""Serve the files inside squashfs archives in S3 as S3 objects of their own.

Public is `s3archivefs_lambda.handler.lambda_handler`. All else is reached through the command, the
settings, and the entry points of the distribution, and may change in any release.
"""
