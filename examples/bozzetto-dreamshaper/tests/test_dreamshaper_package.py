"""Tests of the package: listing without torch, training of the recipe."""

from bozzetto.testing.plugin import PluginContract


class TestPackage(PluginContract):
    distribution = "bozzetto-dreamshaper"
