"""Runs as a whole: start, resume, reopen, from the command line and from Python."""
