"""Equations as pure functions, each with its source and a closed-form test. This file imports nothing."""
