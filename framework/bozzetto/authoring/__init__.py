"""Tools for plugin authors: packages from templates, conformance checks, reference pages."""
