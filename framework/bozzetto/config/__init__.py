"""Recipes: from YAML files, profiles and overrides to checked records (`bozzetto.recipe`). Imports no torch."""
