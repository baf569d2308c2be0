"""Protocol of components whose settings may change while they are used. Part of the kinds `guidance` and `score`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Reconfigurable"]


@runtime_checkable
class Reconfigurable(Protocol):
    """Component that can take other settings between two steps, without losing what it has loaded or learnt."""

    def reconfigure(self, config: Any) -> None:
        """Use `config`, of the type of its own config, from the next step on.

        From then on it must do what a component that was made with `config` does, so that a resumed run, which makes
        it with `config`, goes on with the same numbers.

        Raises:
            ConfigError: a changed field is fixed once the component is made; nothing is changed. The message starts
                with the field's name.
        """
