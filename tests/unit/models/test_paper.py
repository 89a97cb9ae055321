import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel, ViTConfig, ViTMAEConfig, ViTMAEForPreTraining, ViTModel

from clickgrain.errors import ConfigError, PromptError, WeightsError
from clickgrain.models.config import PaperConfig
from clickgrain.models.losses import bce
from clickgrain.models.paper import PaperModel, from_windows, resize_positions, to_windows

TINY = PaperConfig(image_size=32, patch_size=8, dim=24, depth=4, heads=2, head_channels=16)
SHAPE = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "patch_size": 8,
    "layer_norm_eps": 1e-6,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PaperModel(TINY).eval()


def inputs(b=2, h=32, w=32, seed=0):
    g = torch.Generator().manual_seed(seed)
    return 255 * torch.rand(b, 3, h, w, generator=g), torch.rand(b, 3, h, w, generator=g)


def randomise(network):
    """Give every weight a value that cannot hide a wrong order or a dropped bias."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=g) + (p.dim() == 1))
    return network.eval()


@pytest.fixture(scope="module", params=["vit", "vit_mae"])
def hugging(request, tmp_path_factory):
    """(encoder, folder) of a random ViT or ViT-MAE at 16 px, saved as Hugging Face saves it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "vit":
        saved = encoder = ViTModel(ViTConfig(**SHAPE, image_size=16), add_pooling_layer=False)
    else:
        decoder = {"decoder_hidden_size": 12, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
        saved = ViTMAEForPreTraining(ViTMAEConfig(**SHAPE, **decoder, decoder_intermediate_size=12, image_size=16))
        encoder = saved.vit
    randomise(saved).save_pretrained(folder)
    return encoder, folder


def test_defaults_are_the_published_network():
    config = PaperConfig()
    assert (*config.vit, config.image_size, config.grid) == (768, 12, 12, 448, 28)
    assert [i for i, local in enumerate(config.windowed, 1) if not local] == [6, 12]
    assert config.pyramid == (128, 256, 512, 1024)
    with torch.device("meta"):
        model = PaperModel(config)
        decoded = model(torch.zeros(2, 3, 448, 448), torch.zeros(2, 3, 448, 448))
    assert decoded.logits.shape == (2, 1, 448, 448)
    assert decoded.score.shape == (2,)
    blocks = sum(p.numel() for p in model.backbone.blocks.parameters())
    assert blocks == 12 * (12 * 768**2 + 13 * 768)
    assert model.map_spec.names == ("previous", "disk+", "disk-")
    assert (model.map_spec.stride, model.map_spec.radius) == (1, 5.0)


@pytest.mark.parametrize(("size", "dim", "heads"), [("s", 384, 6), ("ti", 192, 3)])
def test_smaller_sizes_keep_the_proportions(size, dim, heads):
    config = PaperConfig(size=size)
    assert config.vit == (dim, 12, heads)
    assert config.pyramid == (dim // 6, dim // 3, dim * 2 // 3, dim * 4 // 3)


@pytest.mark.parametrize(("depth", "windows"), [(1, ()), (2, ()), (3, ()), (4, (1, 3)), (6, (1, 2, 4, 5))])
def test_all_but_every_half_depth_block_is_windowed(depth, windows):
    assert tuple(i for i, local in enumerate(replace(TINY, depth=depth).windowed, 1) if local) == windows


def test_config_survives_json():
    config = PaperConfig(size="s", window_blocks=(1, 2))
    values = json.loads(json.dumps(config.to_json()))
    assert values["kind"] == "paper"
    assert PaperConfig.from_json(values | {"format": 1}) == config
    with pytest.raises(ConfigError, match="extra is unknown"):
        PaperConfig.from_json(values | {"extra": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "xl"}, "--size 'xl'"),
        ({"dim": 30}, "--dim 30"),
        ({"heads": 5}, "--heads 5"),
        ({"depth": -1}, "--depth"),
        ({"patch_size": 6}, "--patch-size 6"),
        ({"image_size": 40}, "--image-size 40"),
        ({"head_channels": 0}, "--head-channels 0"),
        ({"dropout": 1.0}, "--dropout 1"),
        ({"radius": 0.0}, "--radius 0"),
        ({"window_blocks": (1, 5)}, "block 5"),
    ],
)
def test_config_refuses_contradictions(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **change)


def test_windows_are_the_quarters_of_the_grid():
    grid = torch.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    tokens = to_windows(grid)
    quarters = [grid[:, y : y + 2, x : x + 3].reshape(2, 6, 3) for y in (0, 2) for x in (0, 3)]
    assert torch.equal(tokens, torch.cat(quarters, 1))
    assert torch.equal(from_windows(tokens, 4, 6), grid)


def test_window_attention_stays_in_its_quarter():
    torch.manual_seed(0)
    images, maps = inputs(1)
    changed = maps.clone()
    changed[:, :, :16, :16] += 1.0
    for windows, reaches in (((1, 2, 3, 4), False), ((1, 3), True)):
        vit = PaperModel(replace(TINY, window_blocks=windows)).backbone
        difference = (vit(images, changed) - vit(images, maps)).abs().amax(1)[0]
        assert difference[:2, :2].min() > 1e-4
        difference[:2, :2] = 0
        assert bool(difference.max() > 1e-6) == reaches


@pytest.mark.parametrize("side", [16, 32])
def test_blocks_reproduce_the_hugging_face_encoder(hugging, side):
    encoder, folder = hugging
    config = replace(TINY, image_size=side, window_blocks=())
    vit = PaperModel.from_backbone(config, folder).backbone.eval()
    nn.init.zeros_(vit.embed_clicks.weight)
    nn.init.zeros_(vit.embed_clicks.bias)
    images, maps = inputs(h=side, w=side)
    images = images / 255
    with torch.no_grad():
        # their layers on patch tokens alone: no class token, no final norm
        theirs = encoder.embeddings.patch_embeddings.projection(images).flatten(2).mT
        positions = encoder.embeddings.position_embeddings[:, 1:].mT.reshape(1, 24, 2, 2)
        grid = (side // 8, side // 8)
        theirs = theirs + nn.functional.interpolate(positions, grid, mode="bicubic").flatten(2).mT
        for layer in encoder.layers:
            theirs = layer(theirs)
        ours = vit(images, maps).flatten(2).mT
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_clicks_embedding_and_head_start_fresh_beside_a_backbone(hugging):
    _, folder = hugging
    torch.manual_seed(1)
    loaded = PaperModel.from_backbone(TINY, str(folder)).state_dict()
    torch.manual_seed(1)
    fresh = PaperModel(TINY).state_dict()
    same = {key for key in fresh if torch.equal(loaded[key], fresh[key])}
    assert same == {key for key in fresh if key.startswith(("neck.", "head.", "backbone.embed_clicks."))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 48}, "hidden_size 24, this model needs 48"),
        ({"depth": 3}, "num_hidden_layers 4"),
        ({"heads": 4}, "num_attention_heads 2"),
        ({"patch_size": 16}, "patch_size 8"),
    ],
)
def test_a_backbone_of_another_shape_is_refused(hugging, change, message):
    with pytest.raises(WeightsError, match=message):
        PaperModel.from_backbone(replace(TINY, **change), hugging[1])


def test_a_backbone_with_missing_weights_is_refused(hugging, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((hugging[1] / name).read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights[next(key for key in weights if key.endswith("layer.2.layernorm_before.bias"))]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing \(.*2\.layernorm_before\.bias"):
        PaperModel.from_backbone(TINY, tmp_path)


def test_a_broken_weight_file_is_refused(hugging, tmp_path):
    (tmp_path / "config.json").write_bytes((hugging[1] / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        PaperModel.from_backbone(TINY, tmp_path)


def test_another_network_is_refused(tmp_path):
    bert = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(**bert, vocab_size=10)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="is a 'bert'"):
        PaperModel.from_backbone(TINY, tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="nothing-here is not a folder"):
        PaperModel.from_backbone(TINY, tmp_path / "nothing-here")


def test_positions_are_resized_bicubically():
    positions = torch.rand(1, 4, 4, 3)
    assert resize_positions(positions, 4, 4) is positions
    planes = nn.functional.interpolate(positions.permute(0, 3, 1, 2), (6, 8), mode="bicubic")
    assert torch.equal(resize_positions(positions, 6, 8), planes.permute(0, 2, 3, 1))


@torch.no_grad()
@pytest.mark.parametrize(("h", "w"), [(16, 16), (32, 32), (48, 80)])
def test_decodes_any_size_of_two_patches(model, h, w):
    images, maps = inputs(h=h, w=w)
    decoded = model(images, maps)
    assert decoded.logits.shape == (2, 1, h, w)
    assert torch.isfinite(decoded.logits).all()
    for logits, score in zip(decoded.logits.numpy(), decoded.score.tolist()):
        p = 1 / (1 + np.exp(-logits))
        assert score == pytest.approx(p[p > 0.5].mean() if (p > 0.5).any() else 0.0, abs=1e-5)


@torch.no_grad()
def test_a_sample_does_not_see_the_batch(model):
    images, maps = inputs(3)
    together = model(images, maps)
    alone = model(images[1:2], maps[1:2])
    torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.score[1:2], alone.score)


def test_encode_normalises_by_imagenet(model):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images, _ = inputs()
    wanted = (images / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    torch.testing.assert_close(model.encode(images)[0], wanted)


def test_checkpoints_hold_parameters_only(model):
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("shape", [(1, 3, 40, 32), (1, 3, 32, 8), (1, 4, 32, 32), (3, 32, 32)])
def test_images_of_a_wrong_shape_are_refused(model, shape):
    with pytest.raises(ConfigError, match=r"two patches|B x 3"):
        model.encode(torch.zeros(shape))


def test_maps_of_a_wrong_shape_are_refused(model):
    images, maps = inputs()
    for wrong in (maps[:, :2], maps[..., :16], maps[:1]):
        with pytest.raises(PromptError, match="click maps have shape"):
            model.decode(model.encode(images), wrong)


def test_autocast_stays_close(model):
    images, maps = inputs()
    with torch.no_grad():
        exact = model(images, maps)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(images, maps)
    assert rough.logits.dtype == rough.score.dtype == torch.float32
    assert (rough.logits - exact.logits).abs().max() < 0.1 * exact.logits.std() + 0.05


def test_traces_as_one_graph(model):
    images, maps = inputs()
    with torch.no_grad():
        program = torch.export.export(model, (images, maps)).module()
        torch.testing.assert_close(program(images, maps), model(images, maps))


def test_every_parameter_learns_and_the_score_carries_no_gradient():
    torch.manual_seed(0)
    model = PaperModel(TINY)
    images, maps = inputs()
    decoded = model(images, maps)
    assert not decoded.score.requires_grad
    decoded.logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_learns_to_follow_the_clicks():
    torch.manual_seed(0)
    model = PaperModel(replace(TINY, depth=2, dropout=0.0))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    images, maps = inputs(4)
    target = torch.zeros(4, 1, 32, 32)
    target[:2, :, :16], target[2:, :, 16:] = 1, 1
    images[:], maps[:] = images[0], 0
    maps[:, 1:2] = target  # the same picture throughout: only the clicks tell top from bottom
    for _ in range(40):
        optimiser.zero_grad()
        bce(model(images, maps).logits, target).mean().backward()
        optimiser.step()
    with torch.no_grad():
        wrong = ((model(images, maps).logits > 0) != (target > 0)).float().mean()
    assert wrong < 0.05
