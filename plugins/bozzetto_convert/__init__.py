"""`bozzetto convert`: converts threestudio recipes, to the components that are installed. Imports no torch."""
