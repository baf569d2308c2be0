"""Fuzz tests: run the program on seeded damaged inputs and check invariants that must always hold. See README.md."""
