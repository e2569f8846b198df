"""``docs/reference/results.md`` from the measured parts: a summary, tables by study, plots, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from results_studies import BASE, Row, Study

from snn_deploy.files import write

Parts = Mapping[str, Mapping[str, Any]]
Lines = dict[str, dict[int, Mapping[str, Any]]]
"""Parts by variant and T."""

HEAD = """# Results

Written by `make reproduce` (`tests/benchmarks/results.py`). Every number is measured; [results.json](results.json) lists each with
its fingerprint, date and cost. Backend: `cpu`, which fires the same spikes as the reference and Lava. Noise: additive, white,
Gaussian, not clipped, image i with seed i; PSNR on clipped restorations, all pixels. Activations are calibrated on 32 patches of
128x128, seed 0: scikit-image's photographs with the same noise (denoising), or training images (segmentation). Weights: 8 bits.
`models/models.toml` lists how each network was trained.

*Events* are messages, whatever their payload; *operations* are synaptic operations, one event reaching one non-zero weight;
*op/MAC* divides them by the multiplications of the converted network without zero weights and padding, which are 0.92
(denoisers), 0.95 (ISBI) and 0.93 (CamSeq) of all multiplications of the float network: of these they are as much fewer. Networks
that are fine-tuned to fewer operations have fewer non-zero weights, by which alone *op/MAC* divides: compare their operations.
*Energy* is the estimate for Loihi 2, images one at a time (`snn-deploy estimate`), not a measurement: operations, updates,
messages and leakage, whose share stands beside it, of the chips without the host's input and output. T counts the steps of a
population's window; a pipelined chip adds the network's depth to it in every mode: an `exact` network has a window of one step.
"""

STALE = """{number} of {all} energies are left out ("-"): they were estimated before 2026-11-29 with the time of the busiest
layer in every step, which made `exact` mode up to 2.7 times too slow and its leakage as much too high. `make reproduce` measures
them again.
"""

NEAREST = """{number} of {all} conversions were measured with weights rounded to the nearest, the default until 2026-11-29, although
second-order rounding is their preset's now. `make reproduce` measures them again.
"""

FORMER = """
{number} of {all} fine-tuned networks were measured before 2026-11-30, when a float model was trained that only resembled its
network. The commands at the end train the network itself; `make reproduce` measures these again.
"""

NOTES = """## Limitations of these results

* Sweeps over T use crops (64x64 pixels of denoising images, 256x256 of ISBI, 128x128 of CamSeq); the most important rows are also
  measured on whole images, which lose slightly more: the same network sees more of the rare bright activations.
* The published neuron (thresholds 2, 1, 1/2, 1/4 of the 99.9 percentile, strict, from zero, spikes never taken back)
  spends most of its 15 levels above the percentile. Choosing thresholds by least square error for the levels that a
  run of T steps can distinguish costs nothing and saves four to eight times the steps; rows of the
  Spiking-UNet neuron with *MMSE* are that neuron with such units.
* Fine-tuning here is short (minutes on one core, 90 training images, against the float network, not their clean images). Thresholds
  by least square error, without training, lose less than the published neuron at the same T.
* The networks are small and were trained for minutes to an hour; their float scores are the baseline of the conversions, not
  records. One blind network serves sigma 15, 25 and 35, as in the paper.
* CamSeq is less than seven seconds of one drive (frames 7959 to 8159 of a 30 Hz film). The test frames directly follow the training
  frames, which raises the float score. Conversions may score above the float network: with 11 classes and a network trained for
  minutes, some boundaries improve by chance.
* The color denoiser was trained on 81 frames of one drive and nine photographs, because the usual color training images were not
  available. Its float score is a little more than 1 dB below published ones; the loss by conversion is measured as for the other
  networks.
"""

TITLES = {"psnr_db": "PSNR [dB]", "f1": "F1", "miou": "mIoU", "jaccard": "Jaccard", "accuracy": "accuracy"}
OTHERS = {"psnr_db": ("ssim",), "f1": ("jaccard", "accuracy"), "miou": ("accuracy",)}
UNITS = {"psnr_db": "dB", "f1": "F1", "miou": "mIoU"}


def write_page(path: Path, parts: Parts, studies: Sequence[Study], plots: Mapping[str, str]) -> None:
    """Write the page; parts that were not measured are listed at its end."""
    measured = [study for study in studies if any(study.key(row, None) in parts for row in study.whole)]
    sections = [
        HEAD,
        _stale(parts),
        _outdated(parts, studies),
        _summary(parts, measured),
    ]
    for study in measured:
        sections += _study(parts, study)
    sections += [f"![{caption}](../img/{name})\n\n{caption}\n" for name, caption in plots.items()]
    sections += [NOTES, _tunings(parts, measured), _missing(parts, studies)]
    write(path, "\n".join(section for section in sections if section))


def has_energy(part: Mapping[str, Any]) -> bool:
    """Whether the part's joules come from the present model; a float network has none."""
    return bool(part["cost"]) and part["cost"].get("static_j") is not None


def _stale(parts: Parts) -> str:
    spiking = [part for part in parts.values() if part["cost"] and part["cost"]["macs"]]
    number = sum(not has_energy(part) for part in spiking)
    return STALE.format(number=number, all=len(spiking)) if number else ""


def _outdated(parts: Parts, studies: Sequence[Study]) -> str:
    """How many conversions still stand with the rounding of before, and how many networks with the training of before."""
    text = ""
    for trained, sentence in ((False, NEAREST), (True, FORMER)):
        measured = [
            parts[study.key(row, crop)]["fingerprint"] == study.fingerprint(row, crop)
            for study in studies
            for rows, crop in ((study.crops, study.crop), (study.whole, None))
            for row in rows
            if row.options is not None and bool(row.training) == trained and study.key(row, crop) in parts
        ]
        number = len(measured) - sum(measured)
        text += sentence.format(number=number, all=len(measured)) if number else ""
    return text


def _energy(part: Mapping[str, Any]) -> str:
    """Joules of one image and the share of leakage."""
    if not has_energy(part):
        return "-"
    energy_j, static_j = part["cost"]["energy_j"], part["cost"]["static_j"]
    three_digits = float(f"{energy_j * 1e3:.3g}")  # 1,040 and not 1.04e+03
    return f"{three_digits:,.10g} mJ ({static_j / energy_j:.0%} static)"


def lines_of(parts: Parts, study: Study) -> Lines:
    """The measured sweep of ``study``, by variant and T."""
    found: Lines = {}
    for row in study.crops:
        if _swept(row) and study.key(row, study.crop) in parts:
            found.setdefault(row.variant, {})[row.steps] = parts[study.key(row, study.crop)]
    return found


def loss(parts: Parts, study: Study, part: Mapping[str, Any], crop: int | None) -> float:
    """What ``part`` lacks to the float network on the same pixels."""
    floating = parts[study.key(Row("float"), crop)]
    return float(floating["overall"][study.metric]) - float(part["overall"][study.metric])


def _swept(row: Row) -> bool:
    return row.options is not None and row.options.mode == "rate" and not row.training


def _study(parts: Parts, study: Study) -> Iterable[str]:
    count = parts[study.key(Row("float"), None)]["images"]
    yield f"## {study.title}\n\n{count} whole images.\n"
    yield _table(parts, study, study.whole, None)
    if not lines_of(parts, study):
        return
    bits = [row for row in study.crops if " bits" in row.name]
    rest = [row for row in study.crops if not _swept(row) and row not in bits]
    yield f"### {study.title}: the middle {study.crop}x{study.crop} pixels of each image\n"
    yield _table(parts, study, rest, study.crop)
    yield from _sweep(parts, study)
    yield _within(parts, study)
    if bits:
        yield f"Loss in {UNITS[study.metric]} by weight bits, exact mode, N = 127:\n\n{_bits(parts, study, bits)}"


def _table(parts: Parts, study: Study, rows: Sequence[Row], crop: int | None) -> str:
    others = OTHERS[study.metric]
    heads = ["network", TITLES[study.metric], "loss", *(TITLES.get(other, other.upper()) for other in others)]
    heads += ["events / image", "operations / image", "op/MAC", "energy / image"]
    shown = []
    for row in rows:
        part = parts.get(study.key(row, crop))
        if part is None:
            continue
        digits = 3 if study.metric == "psnr_db" else 4
        cells = [
            row.name,
            f"{part['overall'][study.metric]:.{digits}f}",
            f"{loss(parts, study, part, crop):.{digits}f}",
        ]
        cells += [f"{part['overall'][other]:.4f}" for other in others]
        cost = part["cost"]
        if cost is not None and cost["macs"]:  # recorded as 0 for float models until 0.2.0
            cells += [f"{cost['events']:,.0f}", f"{cost['synaptic_operations']:,.0f}"]
            cells += [f"{cost['synaptic_operations'] / cost['macs']:.2f}", _energy(part)]
        else:
            cells += [""] * 4
        shown.append(cells)
    return _markdown(heads, shown)


def _sweep(parts: Parts, study: Study) -> Iterable[str]:
    lines = lines_of(parts, study)
    steps = sorted({step for points in lines.values() for step in points})

    def table(title: str, cell: Any) -> str:
        rows = [
            [name, *(cell(points[step]) if step in points else "" for step in steps)] for name, points in lines.items()
        ]
        return f"{title}\n\n" + _markdown(["variant", *(f"T = {step}" for step in steps)], rows)

    digits = 3 if study.metric == "psnr_db" else 4
    yield table(
        f"Loss in {UNITS[study.metric]} against the float network:",
        lambda part: f"{loss(parts, study, part, study.crop):.{digits}f}",
    )
    yield table("Thousands of events per image:", lambda part: f"{part['cost']['events'] / 1e3:,.0f}")
    yield table(
        "Synaptic operations per multiplication of the float network:",
        lambda part: f"{part['cost']['synaptic_operations'] / part['cost']['macs']:.2f}",
    )
    if any(has_energy(part) for points in lines.values() for part in points.values()):
        yield table("Energy per image (share of leakage):", _energy)


def first_within(parts: Parts, study: Study) -> dict[str, tuple[int | None, int]]:
    """(smallest measured T that is within tolerance, largest measured T) of every network on the crops."""
    found: dict[str, tuple[int | None, int]] = {}
    points: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in study.crops:
        part = parts.get(study.key(row, study.crop))
        if part is not None and row.options is not None and " bits" not in row.name:
            points.setdefault(row.variant, {})[row.steps] = part
    for name, by_steps in points.items():
        near = [
            step for step, part in by_steps.items() if loss(parts, study, part, study.crop) <= study.tolerance + 1e-9
        ]
        found[name] = (min(near, default=None), max(by_steps))
    return found


def _steps_cell(steps: int | None, most: int) -> str:
    return f"not in {most}" if steps is None else str(steps)


def _within(parts: Parts, study: Study) -> str:
    found = first_within(parts, study)
    base, most = found.get(BASE, (None, 0))
    rows = []
    for name, (steps, last) in found.items():
        share = ""
        if steps is not None and most:
            share = f"{steps / base:.0%}" if base else f"below {steps / most:.0%}"
        rows.append([name, _steps_cell(steps, last), share])
    near = f"{study.tolerance:g} dB" if study.metric == "psnr_db" else f"one point of {UNITS[study.metric]}"
    return f"Smallest T within {near} of the float network:\n\n" + _markdown(["network", "T", f"of {BASE}"], rows)


def _summary(parts: Parts, studies: Sequence[Study]) -> str:
    """Per study: the smallest T within tolerance, by the kinds of network a reader asks for."""
    kinds = {
        BASE: (BASE,),
        "published neuron, connection-wise": ("Spiking-UNet neuron, connection-wise",),
        "published neuron, fine-tuned": ("Spiking-UNet neuron, fine-tuned",),
        "published neuron, MMSE, fine-tuned": ("Spiking-UNet neuron, MMSE, fine-tuned",),
        "multi-threshold, MMSE": ("multi-threshold, connection-wise, MMSE",),
        "exact": ("exact, N = 31", "exact, N = 31, fine-tuned", "exact, N = 63", "exact, N = 127"),
    }
    rows = []
    for study in studies:
        found = first_within(parts, study)
        if BASE not in found:
            continue
        cells = [study.title]
        for names in kinds.values():
            known = {name: found[name] for name in names if name in found}
            near = [name for name, (steps, _) in known.items() if steps is not None]
            if not known:
                cells.append("")
            elif names[0].startswith("exact"):
                cells.append(f"1 ({near[0].removeprefix('exact, ')})" if near else "not in 1")
            else:
                cells.append(_steps_cell(*known[names[0]]))
        rows.append(cells)
    if not rows:
        return ""
    text = (
        "## Summary\n\nSmallest number of time steps T with which a converted network is within 0.1 dB or one point of F1 or mIoU "
        "of the float network, on crops:\n\n"
    )
    return text + _markdown(["task", *kinds], rows)


def _bits(parts: Parts, study: Study, rows: Sequence[Row]) -> str:
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        part = parts.get(study.key(row, study.crop))
        if part is not None:
            bits, _, kind = row.name.partition(", ")
            found.setdefault(bits, {})[kind] = loss(parts, study, part, study.crop)
    kinds = list(dict.fromkeys(kind for values in found.values() for kind in values))
    shown = [
        [bits, *(f"{values[kind]:.3f}" if kind in values else "" for kind in kinds)] for bits, values in found.items()
    ]
    return _markdown(["weights", *kinds], shown)


def _tunings(parts: Parts, studies: Sequence[Study]) -> str:
    commands = {
        study.command(row, Path("out/tuned")): None
        for study in studies
        for row in (*study.crops, *study.whole)
        if row.training and (study.key(row, study.crop) in parts or study.key(row, None) in parts)
    }
    if not commands:
        return ""
    return "## Commands of the fine-tuned networks\n\n```sh\n" + "\n".join(commands) + "\n```\n"


def _missing(parts: Parts, studies: Sequence[Study]) -> str:
    lines = [
        f"* {study.title}, {crop or 'whole'}: {row.name}"
        for study in studies
        for rows, crop in ((study.crops, study.crop), (study.whole, None))
        for row in rows
        if study.key(row, crop) not in parts
    ]
    return "## Not measured yet\n\n" + "\n".join(lines) + "\n" if lines else ""


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, rule, *rows]) + "\n"
