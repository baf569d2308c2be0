"""Command `studio`: a local page on which runs are started, watched and found again."""
