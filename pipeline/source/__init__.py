"""Where the history comes from: which files are its parts, in S3, on the web or on disk, and a local copy of each."""
