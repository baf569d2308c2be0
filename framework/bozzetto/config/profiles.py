"""Choice of a recipe's profile: by name, by device, and among those of a device by the memory of the GPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bozzetto.errors import ConfigError, did_you_mean
from bozzetto.machine.accelerators import Accelerator

TIER = re.compile(r"(?P<device>.+)-(?P<gb>[1-9][0-9]{0,2})gb")
"""Name of a profile for GPUs with at least so much memory: `cuda-12gb`; it changes that of its device further."""


def base_of(profile: str) -> str:
    """Return the profile that a profile changes further: `cuda` of `cuda-12gb`; of others the profile itself."""
    found = TIER.fullmatch(profile)
    return found["device"] if found else profile


def choose_profile(profiles: Sequence[str], profile: str, hardware: Accelerator | None, path: Path) -> tuple[str, str]:
    """Return the name of the profile to use, and why.

    Args:
        profiles: those of the recipe at `path`.
        profile: a name, or `auto` for the one that fits `hardware`; the name of a device that has profiles by memory
            means the one that fits its memory, if that is known.

    Raises:
        ConfigError: there is none of that name, or none that fits.
    """
    if profile != "auto":
        if profile not in profiles:
            known = ", ".join(profiles) or "none"
            hint = did_you_mean(profile, profiles)
            raise ConfigError(f"{path} has no profile {profile!r}.{hint} Profiles: {known}.")
        return _by_memory(profiles, profile, hardware, "chosen with --profile")
    if not profiles:
        return "none", "the recipe has no profiles"
    kind = hardware.kind if hardware else "cpu"
    reason = hardware.reason if hardware else "no GPU was looked for"
    if kind in profiles:
        return _by_memory(profiles, kind, hardware, reason)
    if "cpu" in profiles:
        return "cpu", f"{reason}; the recipe has no {kind} profile"
    raise ConfigError(f"{path} has no profile for {kind}. Choose one with --profile: {', '.join(profiles)}.")


def _by_memory(profiles: Sequence[str], device: str, hardware: Accelerator | None, reason: str) -> tuple[str, str]:
    """Return the profile of a device with the most memory that the GPU has; the one with the least if it has less."""
    named = [(TIER.fullmatch(name), name) for name in profiles if base_of(name) == device]
    tiers = sorted((int(found["gb"]), name) for found, name in named if found)
    if not tiers or hardware is None or hardware.kind != device or not hardware.memory_bytes:
        return device, reason
    has_gb = round(hardware.memory_bytes / 2**30)  # cards report a little less than their name says
    chosen = max((tier for tier in tiers if tier[0] <= has_gb), default=tiers[0])[1]
    others = ", ".join(name for _, name in tiers if name != chosen)
    return chosen, f"{reason}, for a GPU of {has_gb} GB; others: {others}"
