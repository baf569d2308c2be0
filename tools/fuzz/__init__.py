"""Attacks the program with seeded damaged inputs and checks what must hold whatever it is given. See README.md."""
