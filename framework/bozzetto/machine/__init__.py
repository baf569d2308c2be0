"""This machine: its accelerators, whether its memory suffices, process settings."""
