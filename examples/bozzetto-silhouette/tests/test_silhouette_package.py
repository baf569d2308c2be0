"""The package is whole: it lists without torch, its components keep their contracts, its recipes train."""

from bozzetto.testing.plugin import PluginContract


class TestPackage(PluginContract):
    distribution = "bozzetto-silhouette"
