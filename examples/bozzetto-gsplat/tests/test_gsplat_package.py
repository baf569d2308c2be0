"""The package is complete: it lists without torch, its components conform, its recipes train."""

from bozzetto.testing.plugin import PluginContract


class TestPackage(PluginContract):
    distribution = "bozzetto-gsplat"
