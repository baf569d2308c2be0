"""Evaluation of the priors: true renders, classifiers, and the pages that compare them."""
