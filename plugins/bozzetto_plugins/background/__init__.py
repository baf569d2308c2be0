"""Built-in backgrounds: fixed, random and learned colours of rays that hit nothing."""
