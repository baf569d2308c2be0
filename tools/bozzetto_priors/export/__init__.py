"""Release folders of the priors, in the layout of diffusers."""
