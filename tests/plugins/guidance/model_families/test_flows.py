"""Tests of the flow models' calls: SD3, FLUX.2 klein and Z-Image say what their networks say in diffusers' loops."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import SD3Transformer2DModel, ZImageTransformer2DModel
from tests.plugins.guidance.model_families import tiny
from tests.plugins.guidance.model_families.test_networks import CPU, TEXTS, TWO, loaded, noisy_of

TIMESTEP = torch.tensor([100, 700])


def test_sd3_says_what_the_transformer_does_at_the_time_of_the_sampler(tmp_path: Path) -> None:
    pipeline = tiny.sd3(tmp_path)
    prior = loaded("sd3", tiny.saved(pipeline, tmp_path / "sd3"))
    noisy = noisy_of(prior)
    tokens, _, pooled, _ = pipeline.encode_prompt(TEXTS[:2], None, None, device=CPU, do_classifier_free_guidance=False)
    # The sampler of training: descending, so timestep t is its entry T - 1 - t.
    time = pipeline.scheduler.timesteps.flip(0)[TIMESTEP]
    with torch.no_grad():
        expected = pipeline.transformer(noisy, tokens, pooled, time).sample
    torch.testing.assert_close(
        prior.networks.predict(noisy, TIMESTEP, prior.encode_text(TEXTS[:2]), TWO), expected, rtol=0.0, atol=1e-5
    )
    sigmas = pipeline.scheduler.sigmas[: prior.networks.train_steps].flip(0)
    level = prior.networks.level(torch.arange(1000))
    torch.testing.assert_close(level.noise, sigmas, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(level.signal, 1.0 - sigmas, rtol=0.0, atol=1e-6)
    # Fractions .3, .5 and .98 of the descending list, of RFDS (Yang et al. 2024).
    torch.testing.assert_close(level.noise[[699, 499, 19]], torch.tensor([0.875, 0.75, 0.0577]), rtol=0.0, atol=1e-4)


def test_sd3_without_t5_has_zeros_in_its_place(tmp_path: Path) -> None:
    folder = tiny.saved(tiny.sd3(tmp_path), tmp_path / "sd3")
    full, short = loaded("sd3", folder), loaded("sd3", folder, long_text=False)
    with_t5, without = (prior.networks.family.layout.unpack(prior.encode_text(["a ball"])) for prior in (full, short))
    assert torch.equal(with_t5.tokens[:, :32], without.tokens[:, :32])
    assert with_t5.tokens[:, 32:].any() and not without.tokens[:, 32:].any()
    assert full.text_model_id != short.text_model_id


def test_flux2_latents_are_patches_normalised_as_the_pipeline_has_them(tmp_path: Path) -> None:
    pipeline = tiny.flux2(tmp_path)
    prior = loaded("flux2", tiny.saved(pipeline, tmp_path / "flux2"))
    image = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        patches = pipeline._patchify_latents(pipeline.vae.encode(2.0 * image - 1.0).latent_dist.mode())
    mean, variance = pipeline.vae.bn.running_mean.view(1, -1, 1, 1), pipeline.vae.bn.running_var.view(1, -1, 1, 1)
    expected = (patches - mean) / torch.sqrt(variance + pipeline.vae.config.batch_norm_eps)
    torch.testing.assert_close(prior.networks.encode(image, None), expected, rtol=0.0, atol=1e-5)
    assert torch.equal(prior.networks.family.unfolded(patches), pipeline._unpatchify_latents(patches))


def test_flux2_says_what_the_transformer_does(tmp_path: Path) -> None:
    pipeline = tiny.flux2(tmp_path)
    prior = loaded("flux2", tiny.saved(pipeline, tmp_path / "flux2"))
    noisy = noisy_of(prior)
    tokens, places = pipeline.encode_prompt(TEXTS[:2], device=CPU)
    sigma = prior.networks.level(TIMESTEP).noise
    with torch.no_grad():
        said = pipeline.transformer(
            hidden_states=pipeline._pack_latents(noisy), timestep=sigma, guidance=None, encoder_hidden_states=tokens,
            txt_ids=places, img_ids=pipeline._prepare_latent_ids(noisy), return_dict=False,
        )[0]  # fmt: skip
    expected = pipeline._unpack_latents_with_ids(said, pipeline._prepare_latent_ids(noisy), 4, 4)
    torch.testing.assert_close(
        prior.networks.predict(noisy, TIMESTEP, prior.encode_text(TEXTS[:2]), TWO), expected, rtol=0.0, atol=1e-5
    )


def test_z_image_says_the_negative_of_the_transformer_at_the_reverse_time(tmp_path: Path) -> None:
    pipeline = tiny.z_image(tmp_path)
    prior = loaded("z_image", tiny.saved(pipeline, tmp_path / "z"))
    noisy = noisy_of(prior)
    texts, _ = pipeline.encode_prompt(TEXTS[:2], device=CPU, do_classifier_free_guidance=False)
    sigma = prior.networks.level(TIMESTEP).noise
    with torch.no_grad():
        said = pipeline.transformer(list(noisy.unsqueeze(2).unbind(0)), 1.0 - sigma, texts, return_dict=False)[0]
    expected = -torch.stack(said).squeeze(2)
    torch.testing.assert_close(
        prior.networks.predict(noisy, TIMESTEP, prior.encode_text(TEXTS[:2]), TWO), expected, rtol=0.0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("kind", "settings", "published"),
    [
        (
            SD3Transformer2DModel,
            {
                "sample_size": 128, "num_layers": 24, "attention_head_dim": 64, "num_attention_heads": 24,
                "caption_projection_dim": 1536, "pos_embed_max_size": 384, "qk_norm": "rms_norm",
                "dual_attention_layers": tuple(range(13)),
            },
            2_243_171_520,
        ),
        (ZImageTransformer2DModel, {}, 6_154_908_736),
    ],
)  # fmt: skip
def test_the_published_networks_have_the_published_number_of_parameters(
    kind: type[torch.nn.Module], settings: dict[str, object], published: int
) -> None:
    """Of Stable Diffusion 3.5 medium and Z-Image; no count of FLUX.2 klein's parameters was found published."""
    with torch.device("meta"):
        network = kind(**settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == published
