"""Tests of the package: listing without torch, contracts of the components, training of the recipes."""

from bozzetto.testing.plugin import PluginContract


class TestPackage(PluginContract):
    distribution = "bozzetto-averaged-score"
