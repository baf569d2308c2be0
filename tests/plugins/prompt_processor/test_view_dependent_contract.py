"""Contract tests of `view-dependent`, in each mode."""

from __future__ import annotations

import pytest

from bozzetto.testing.prompt_processor import PromptProcessorContract
from bozzetto_plugins.prompt_processor.config import ViewDependentConfig
from bozzetto_plugins.prompt_processor.view_dependent import ViewDependent


class TestViewDependent(PromptProcessorContract):
    @pytest.fixture(autouse=True, params=[("hard", False), ("interpolate", True)])
    def _mode(self, request: pytest.FixtureRequest) -> None:
        mode, negatives = request.param
        self.config = ViewDependentConfig(mode=mode, negatives=negatives)

    def make(self, prompt: str, negative_prompt: str) -> ViewDependent:
        return ViewDependent(self.config, prompt, negative_prompt)
