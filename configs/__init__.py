"""Recipes shipped with Bozzetto, installed as the package `bozzetto_recipes`."""
