"""Built-in guidances: score distillation from latent diffusion models."""
