"""Recipes of other frameworks, turned into ours. Imports no torch; what exists here is asked of the registry."""
