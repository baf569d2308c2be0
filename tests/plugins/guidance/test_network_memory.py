"""Tests of the estimate of a step's memory: what is encoded twice is not kept, float32 needs twice as much."""

from bozzetto_plugins.guidance.network_memory import DENOISER_BYTES, ENCODER_BYTES, NetworkMemory

PIXELS = 100


def test_the_encoder_keeps_its_activations_of_all_views_unless_it_runs_twice():
    assert NetworkMemory(PIXELS, 0, full=False).kept_bytes(3) == 3 * PIXELS * ENCODER_BYTES
    assert NetworkMemory(PIXELS, 2, full=False).kept_bytes(3) == 0
    assert NetworkMemory(PIXELS, 3, full=False).kept_bytes(3) == 3 * PIXELS * ENCODER_BYTES


def test_the_larger_of_encoder_and_denoiser_passes():
    assert NetworkMemory(PIXELS, 0, full=False).passing_bytes(3) == 2 * 3 * PIXELS * DENOISER_BYTES
    assert NetworkMemory(PIXELS, 2, full=False).passing_bytes(3) == 2 * PIXELS * ENCODER_BYTES


def test_float32_needs_twice_as_much():
    half, full = (NetworkMemory(PIXELS, 1, full) for full in (False, True))
    assert full.passing_bytes(3) == 2 * half.passing_bytes(3)
    assert NetworkMemory(PIXELS, 0, True).kept_bytes(1) == 2 * NetworkMemory(PIXELS, 0, False).kept_bytes(1)
