"""`bozzetto report`, and the report that every run writes at its end: one HTML file that opens offline."""
