"""Training: builds a checked stage, trains, saves and exports it."""
