"""Converters from the recipes of other frameworks. Imports no torch; queries the registry for installed components."""
