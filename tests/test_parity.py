"""Weights of others' layers, by the tables in the docstrings, give the same numbers. Needs the package transformers.

It is none of memnet's extras: its implementations in plain torch are the field's, and what a CPU can run of them.
"""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memnet import DeltaCell, MambaCell, MLSTMCell
from memnet.mixers import Mixer
from tests.test_mixers import assert_equal

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("default")


def theirs(module: str, name: str) -> Any:
    return getattr(import_module(f"transformers.models.{module}"), name)


def drawn(layer: nn.Module) -> Any:
    """The layer with every parameter from N(0, 0.3^2)."""
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer.eval()


def assert_same(cell: Mixer, weights: dict[str, Tensor], run: Any, time: int = 37) -> None:
    """A cell with these weights, step by step and in chunks, gives what `run` gives of an input."""
    cell.load_state_dict(weights)
    input = torch.randn(2, time, cell.input_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, state, outputs = run(input), cell.initial_state(2), []
        for step in input.unbind(1):
            output, state = cell(step, state)
            outputs.append(output)
        found, _ = cell.scan(input, cell.initial_state(2), None)
    assert expected.abs().max() > 0.05
    assert_equal(torch.stack(outputs, 1), expected, 2e-4)
    assert_equal(found, expected, 2e-4)


def test_gated_deltanet_is_that_of_qwen3_next() -> None:
    config = SimpleNamespace(hidden_size=12, linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=8)
    config.__dict__.update(linear_value_head_dim=6, linear_conv_kernel_dim=4, hidden_act="silu", rms_norm_eps=1e-5)
    config.__dict__.update(layer_types=["linear_attention"], dtype=torch.float32)
    layer = drawn(theirs("qwen3_next.modeling_qwen3_next", "Qwen3NextGatedDeltaNet")(config, 0))
    # Theirs has the rows of each head together.
    rows = layer.in_proj_qkvz.weight.unflatten(0, (2, 28)).split([8, 8, 6, 6], 1)
    query, key, value, gate = (one.flatten(0, 1) for one in rows)
    strength, decay = (one.flatten(0, 1) for one in layer.in_proj_ba.weight.unflatten(0, (2, 2)).split(1, 1))
    cell = DeltaCell(12, 12, num_heads=2, key_size=8, value_size=6, decay="head")
    weights = {
        "projection.weight": torch.cat([query, key, value, strength, decay, gate]),
        "convolution.weight": layer.conv1d.weight,
        "log_rate": layer.A_log.unsqueeze(-1),
        "decay_bias": layer.dt_bias.unsqueeze(-1),
        "norm_weight": layer.norm.weight,
        "output.weight": layer.out_proj.weight,
    }
    assert_same(cell, weights, layer)


def test_kimi_delta_attention_is_that_of_kimi_linear() -> None:
    config = SimpleNamespace(hidden_size=12, linear_num_heads=2, linear_head_dim=8, linear_conv_kernel_dim=4)
    config.__dict__.update(hidden_act="silu", rms_norm_eps=1e-5, layer_types=["linear_attention"])
    layer = drawn(theirs("kimi_linear.modeling_kimi_linear", "KimiLinearDeltaAttention")(config, 0))
    forget = layer.forget_gate
    decay = [one.weight for one in forget.modules() if isinstance(one, nn.Linear)]
    cell = DeltaCell(12, 12, num_heads=2, key_size=8, value_size=8, decay="channel")
    weights = {
        "projection.weight": torch.cat(
            [
                *(getattr(layer, name).weight for name in ("q_proj", "k_proj", "v_proj", "b_proj")),
                decay[1] @ decay[0],
                layer.g_b_proj.weight @ layer.g_a_proj.weight,
            ]
        ),
        "convolution.weight": layer.conv1d.weight,
        "log_rate": forget.A_log.view(2, 1),
        "decay_bias": forget.dt_bias.view(2, 8),
        "norm_weight": layer.o_norm.weight,
        "output.weight": layer.o_proj.weight,
    }
    assert_same(cell, weights, layer)


def test_mamba_is_that_of_mamba_2() -> None:
    config = theirs("mamba2.configuration_mamba2", "Mamba2Config")(
        num_heads=4, head_dim=6, hidden_size=12, state_size=5, expand=2, n_groups=1, conv_kernel=4, chunk_size=8
    )
    layer = drawn(theirs("mamba2.modeling_mamba2", "Mamba2Mixer")(config, 0))
    gate, convolved, interval = layer.in_proj.weight.split([24, 34, 4])
    cell = MambaCell(12, 12, num_heads=4, head_size=6, state_size=5)
    weights = {
        "projection.weight": torch.cat([convolved, gate, interval]),
        "convolution.weight": layer.conv1d.weight,
        "convolution.bias": layer.conv1d.bias,
        "log_rate": layer.A_log.unsqueeze(-1),
        "decay_bias": layer.dt_bias.unsqueeze(-1),
        "skip": layer.D.unsqueeze(-1),
        "norm_weight": layer.norm.weight.unsqueeze(0),
        "output.weight": layer.out_proj.weight,
    }
    assert_same(cell, weights, layer)


def test_mlstm_is_that_of_xlstm_7b() -> None:
    config = theirs("xlstm.configuration_xlstm", "xLSTMConfig")(hidden_size=12, num_heads=2, qk_dim_factor=1.0)
    config.autocast_kernel_dtype, config.chunk_size = "float32", 16
    layer = drawn(theirs("xlstm.modeling_xlstm", "xLSTMLayer")(config))
    cell = MLSTMCell(12, 12, num_heads=2, key_size=6, value_size=6, convolution=0)
    names = ("q", "k", "v", "igate_preact", "fgate_preact", "ogate_preact")
    weights = {
        "projection.weight": torch.cat([getattr(layer, name).weight for name in names]),
        "gate_bias": torch.stack([layer.igate_preact.bias, layer.fgate_preact.bias]),
        "norm_weight": layer.multihead_norm.weight.view(2, 6),
        "output.weight": layer.out_proj.weight,
    }
    assert_same(cell, weights, lambda input: layer(input)[0])
