"""Protocols of the component kinds, one file per kind. Constructors are part of the contract."""
