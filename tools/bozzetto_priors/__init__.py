"""Training, export and evaluation of the bundled priors; see README.md. One command per step: `tools/priors --help`."""
