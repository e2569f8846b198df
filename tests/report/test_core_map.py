"""Pictures: every core drawn once, well-formed, nothing loaded from elsewhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from snn_deploy.activity.counting import assume_activity
from snn_deploy.cost.energy import estimate
from snn_deploy.mapping.fit import map_layers, map_network
from snn_deploy.mapping.layout import Layer, SynapseGroup
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.report.core_map import core_map, layer_bars
from snn_deploy.report.svg import COLOURS
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_unet


def test_every_core_is_drawn_once() -> None:
    network, target = random_unet("rate", 0, size=64), load_target("loihi2")
    mapping = map_network(network, target)
    moved = measure_traffic(network, assume_activity(network, 0.2), mapping, target)
    for picture in (core_map(mapping, target), core_map(mapping, target, moved)):
        ET.fromstring(picture)
        corners = re.findall(r"M[\d.]+ [\d.]+", picture)
        assert len(corners) == len(set(corners)) == mapping.cores
        assert not re.search(r"<script|href|url\(|@import", picture)
    darkest = f'fill="{COLOURS[-1]}" d="M'
    assert darkest in core_map(mapping, target, moved)


def test_names_are_escaped() -> None:
    layer = Layer("a<b>&", (3, 9, 9), (SynapseGroup("x", (1, 9, 9)),))
    mapping = map_layers("n", [layer], load_target("loihi2"))
    for picture in (core_map(mapping, load_target("loihi2")), layer_bars(mapping)):
        ET.fromstring(picture)
        assert "a&lt;b&gt;&amp;" in picture


def test_bars_show_every_population() -> None:
    network, target = random_unet("rate", 0), load_target("loihi2")
    mapping = map_network(network, target)
    found = estimate(network, assume_activity(network, 0.2), target, mapping=mapping)
    picture = layer_bars(mapping, found)
    ET.fromstring(picture)
    assert picture.count('class="bar"') == 2 * len(mapping.layers)
    assert layer_bars(mapping).count('class="bar"') == len(mapping.layers)
