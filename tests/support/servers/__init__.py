"""Real servers on loopback: S3 stores, scripted ones, and `s3archivefs serve`."""
