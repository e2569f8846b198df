"""Device descriptions: complete, sourced, inherited openly, and refused where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_deploy.errors import TargetError
from snn_deploy.targets.load import load_target, target_names

HEAD = """
name = "mine"
title = "mine"
{more}
[sources.lab]
title = "bench"
date = "2026-01"
"""


def write(folder: Path, more: str, rest: str = "") -> Path:
    path = folder / "mine.toml"
    path.write_text(HEAD.format(more=more) + rest)
    return path


def test_the_packaged_targets() -> None:
    assert target_names() == (
        "cmos45-fp32",
        "cmos45-int8",
        "loihi1",
        "loihi1-sanafe",
        "loihi2",
        "spiking-unet-formula",
    )


@pytest.mark.parametrize("name", target_names())
def test_every_number_has_source_date_basis_and_band(name: str) -> None:
    target = load_target(name)
    assert target.figures
    for key, figure in target.figures.items():
        assert key == figure.key
        assert figure.source.title
        assert figure.source.date[:2] == "20"
        assert figure.band[0] <= 1 <= figure.band[1]
        assert figure.band != (1.0, 1.0) or figure.value == 0 or key.split(".")[0] in ("limits", "encoding", "mesh")


def test_published_numbers() -> None:
    """Davies et al. 2018, Table 2; SANA-FE TCAD 2025; Horowitz 2014; Loihi 2 compiler printouts."""
    loihi1, fitted = load_target("loihi1"), load_target("loihi1-sanafe")
    assert loihi1.quantity("energy.synapse_pj").value == pytest.approx(23.6e-12, rel=1e-12)
    assert loihi1.quantity("time.neuron_ns").value == pytest.approx(8.4e-9, rel=1e-12)
    assert loihi1.integer("limits.synaptic_memory_words") == 16384
    assert fitted.figure("energy.synapse_conv_pj").value == 24.0
    assert fitted.figure("power.static_chip_w") == loihi1.figure("power.static_chip_w")
    assert load_target("loihi2").integer("limits.neurons_per_core") == 4095
    assert load_target("cmos45-fp32").figure("energy.mac_pj").value == 4.6


def test_numbers_of_another_device_say_so() -> None:
    figure = load_target("loihi2").figure("energy.synapse_pj")
    assert (figure.value, figure.basis, figure.band) == (23.6, "inherited", (0.5, 1.5))
    assert figure.citation == (
        "energy.synapse_pj = 23.6 [inherited, x0.5 to x1.5] Davies et al., Loihi: a neuromorphic manycore processor "
        "with on-chip learning, IEEE Micro 38(1), Table 2 and p. 86-95, 2018-01 (of loihi1, there simulated; a minimum)"
    )


def test_a_user_file_is_merged_over_a_packaged_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'inherit = "loihi2"',
        '[energy]\nsynapse_pj = {value = 9.5, source = "lab", basis = "measured", band = [0.9, 1.2]}\n',
    )
    target = load_target(path)
    assert target.figure("energy.synapse_pj").value == 9.5
    assert target.quantity("energy.synapse_pj").high == pytest.approx(11.4e-12)
    assert target.figure("energy.hop_ew_pj") == load_target("loihi2").figure("energy.hop_ew_pj")
    assert target.boards == load_target("loihi2").boards
    assert target.inherits == ("loihi2", "loihi1")
    assert target.notes == load_target("loihi2").notes
    assert target.notes != load_target("loihi1").notes
    assert (
        load_target("loihi2").figure("energy.spike_pj").note
        == "of loihi1, there simulated; contained in neuron_active_pj"
    )


FIGURE = '[energy]\nsynapse_pj = {{value = {value}, source = "{source}", basis = "{basis}"{band}}}\n'


def figure(value: str = "1.0", source: str = "lab", basis: str = "measured", band: str = ", band = [1, 2]") -> str:
    return FIGURE.format(value=value, source=source, basis=basis, band=band)


@pytest.mark.parametrize(
    ("more", "rest", "message"),
    [
        ('kind = "chip"', "[energi]\nx = 1\n", r"unknown key\(s\) energi; known are .*title$"),
        (
            'kind = "chip"',
            '[energy]\nsynapse_nj = {value = 1, source = "lab", basis = "measured"}\n',
            r"synapse_nj; known",
        ),
        ('kind = "chip"', figure(band=""), r"needs its error band, such as \[0.8, 1.2\]$"),
        ('kind = "chip"', figure(band=", band = [1.1, 2]"), r"must be two factors around 1, such as \[0.8, 1.2\]$"),
        ('kind = "chip"', figure(value="-1.0"), r"value -1.0 is not a finite number of at least 0$"),
        ('kind = "chip"', figure(value="inf"), r"value inf is not a finite number of at least 0$"),
        ('kind = "chip"', figure(value="true"), r"value True is not a finite number of at least 0$"),
        ('kind = "chip"', figure(source="dream"), r"names source 'dream', which is not among \[sources\]: lab$"),
        ('kind = "chip"', figure(basis="guessed"), r"unknown basis 'guessed'; allowed: .*inherited$"),
        ('kind = "chip"', "[energy]\nsynapse_pj = 3\n", r"must be a table with value, source, basis, and perhaps band"),
        ('kind = "gpu"', "", r"unknown kind 'gpu'; allowed: chip, arithmetic, formula$"),
        ("", "", r"unknown kind None; allowed: chip, arithmetic, formula$"),
        ("inherited_band = [1, 2]", "", r"inherited_band without inherit$"),
        ('inherit = "loihi9"', "", r"unknown target 'loihi9'; available: cmos45-fp32, .*, or give a .toml file$"),
        (
            'kind = "chip"',
            '[limits]\nweight_bits = {value = 7.5, source = "lab", basis = "measured"}\n',
            r"must be an integer$",
        ),
        (
            'kind = "chip"',
            '[[boards]]\nname = "b"\nchips = 0\nsource = "lab"\n',
            r"chips 0 must be an integer of at least 1$",
        ),
        ('kind = "chip"', "[[[", r"not TOML: "),
        ('kind = "chip"\nnotes = "one"', "", r"notes must be a list of strings$"),
    ],
)
def test_refused(tmp_path: Path, more: str, rest: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load_target(write(tmp_path, more, rest))


def test_a_file_that_inherits_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\ntitle = "mine"\ninherit = "{path.as_posix()}"\n')
    with pytest.raises(TargetError, match=r"inherits from itself through .*mine.toml$"):
        load_target(path)


def test_a_missing_file() -> None:
    with pytest.raises(TargetError, match=r"^nowhere.toml: cannot be read: No such file or directory$"):
        load_target("nowhere.toml")


def test_missing_numbers_are_all_named() -> None:
    with pytest.raises(TargetError, match=r"no energy.synapse_pj, time.neuron_ns; an estimate is refused"):
        load_target("cmos45-int8").require("energy.mac_pj", "energy.synapse_pj", "time.neuron_ns")
