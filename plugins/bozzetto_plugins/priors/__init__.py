"""Networks of the bundled priors `bozzetto-mini` and `bozzetto-mini-zero123`, whose weights lie in the folders here."""
