"""Training of the networks and radiance fields of the priors."""
