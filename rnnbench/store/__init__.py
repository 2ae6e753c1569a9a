"""What a run leaves on disk: paths, rows, the workdir."""
