"""Built-in prompt processor: view-dependent text conditioning."""
