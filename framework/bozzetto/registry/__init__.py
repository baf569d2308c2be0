"""Discovery of plugins: entry points, contained imports, an index of declared components. Imports no torch."""
