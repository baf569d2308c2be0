"""Built-in components of Bozzetto, one package per kind. This file imports nothing."""
