"""Tests of the package: listing without torch, and the contract of its command."""

from bozzetto.testing.plugin import PluginContract


class TestPackage(PluginContract):
    distribution = "bozzetto-faces"
