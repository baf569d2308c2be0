"""Built-in score: score distillation as a composition of choices."""
