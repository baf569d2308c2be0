"""Public contract test suites, one per kind, and fakes, for plugin authors and Bozzetto's own tests."""
