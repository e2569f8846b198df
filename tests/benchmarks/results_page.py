"""``docs/results.md`` from the measured parts: tables, plots, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results import Job

Parts = Mapping[str, Any]

WITHIN_DB = 0.1

HEAD = """# Results

Written by `make reproduce` (`tests/benchmarks/results.py`); every number is measured, none is copied. Backend `cpu`, which
fires the same spikes as the reference and Lava. Noise: additive, white, Gaussian, not clipped, image i with seed i;
PSNR on clipped restorations, all pixels. Activations are calibrated on 32 patches of 128x128: photographs that
scikit-image brings with the same noise (denoising), training images 0-24 (segmentation); seed 0. Weights: 8 bits.

*Events* are messages, whatever they carry; *operations* are synaptic operations, one event reaching one non-zero weight;
*op/MAC* divides them by the multiplications of the float network. *Energy* is the estimate for Loihi 2 with everything it
counts (`snn-deploy estimate`, lower bounds: no mesh hops), not a measurement.
"""


NOTES = """## What was restricted, and what to read with care

* The sweep over T and the fine-tuned networks' comparison use crops: T = 128 on whole images takes hours on two cores. The
  essential rows are whole images.
* Only sigma 25 has a trained network in `models/`; sigma 15 and 35, a color network (CBSD68) and one for CamSeq are not
  measured. `python models/train_denoiser.py --sigma 15 --out models/denoiser_s15.onnx` trains another.
* T counts the steps of a population's window. A pipelined chip adds the network's depth to it, in every mode: an `exact`
  network has a window of one step and answers after its depth.
* Fine-tuning here is short (some minutes on one core, 90 training images). It recovers most of what the published neuron
  loses at T = 2 and 4, yet stays behind thresholds chosen by least square error, which cost nothing: multi-threshold with
  MMSE needs no training. Longer runs are untested.
* Multi-threshold at T = 16 is within 0.1 dB on whole images too (`make bench-accuracy`), layer-wise never on any of ours.
* The segmenter was trained with few images: its float score is what conversions are compared with, not a record.
"""


def write_page(path: Path, parts: Parts, jobs: Mapping[str, Job], plots: Mapping[str, str]) -> None:
    """Write the page; parts that were not measured are listed at its end."""
    measured = {key: job for key, job in jobs.items() if key in parts}
    sections = [HEAD, *_denoising(parts, measured), *_segmentation(parts, measured)]
    sections += [f"![{caption}](img/{name})\n\n{caption}\n" for name, caption in plots.items()]
    sections.append(NOTES)
    sections.append(_missing([job for key, job in jobs.items() if key not in parts]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(sections), encoding="utf-8")


def _denoising(parts: Parts, jobs: Mapping[str, Job]) -> Iterable[str]:
    chosen = {key: job for key, job in jobs.items() if job.task == "denoise"}
    for data in ("Set12", "BSD68"):
        whole = [key for key, job in chosen.items() if job.crop is None and job.data.name == data]
        if whole:
            count = len(parts[whole[0]]["images"])
            yield f"## Denoising, sigma 25, {data}: {count} whole images\n"
            yield _table(parts, jobs, whole, "psnr_db", "PSNR [dB]", "loss [dB]")
    crops = [key for key, job in chosen.items() if job.crop]
    if not crops:
        return
    bits = [key for key in crops if " bits" in jobs[key].name]
    sweep = [key for key in crops if ", T = " in jobs[key].name]
    rest = [key for key in crops if key not in bits and key not in sweep]
    yield "## Time steps: middle 64x64 pixels of each image of Set12\n\nLoss in dB against the float network.\n"
    yield _sweep(parts, jobs, sweep, rest)
    yield f"### Time steps to come within {WITHIN_DB} dB\n"
    yield _within(parts, jobs, sweep, rest)
    yield "### Exact mode and fine-tuning on the same crops\n"
    yield _table(parts, jobs, rest, "psnr_db", "PSNR [dB]", "loss [dB]")
    if bits:
        yield "### Weight bits, exact mode, N = 127, same crops\n"
        yield _bits(parts, jobs, bits, rest)


def _segmentation(parts: Parts, jobs: Mapping[str, Job]) -> Iterable[str]:
    chosen = {key: job for key, job in jobs.items() if job.task == "segment"}
    for crop, title in ((None, "whole images"), (256, "middle 256x256 pixels")):
        keys = [key for key, job in chosen.items() if job.crop == crop]
        if keys:
            yield f"## Segmentation, ISBI 2012 images 25-29, {title}\n\nMembrane is class 1; all pixels, no border tolerance.\n"
            yield _table(parts, jobs, keys, "f1", "F1", "loss", ("jaccard", "accuracy"))


def _is_float(job: Job) -> bool:
    return job.options is None and job.model.suffix == ".onnx"


def _float(parts: Parts, jobs: Mapping[str, Job], key: str, metric: str) -> float:
    job = jobs[key]
    for other, candidate in jobs.items():
        if _is_float(candidate) and (candidate.data, candidate.crop) == (job.data, job.crop):
            return float(parts[other]["overall"][metric])
    raise KeyError(f"{key}: its float network was not measured")


def _table(
    parts: Parts,
    jobs: Mapping[str, Job],
    keys: list[str],
    metric: str,
    title: str,
    loss: str,
    others: tuple[str, ...] = (),
) -> str:
    heads = ["network", title, loss, *others, "events / image", "operations / image", "op/MAC", "energy / image"]
    rows = []
    for key in keys:
        scores, cost = parts[key]["overall"], parts[key]["cost"]
        digits = 3 if metric == "psnr_db" else 4
        lost = _float(parts, jobs, key, metric) - scores[metric]
        row = [jobs[key].name, f"{scores[metric]:.{digits}f}", f"{lost:.{digits}f}"]
        row += [f"{scores[other]:.4f}" for other in others]
        if cost["macs"]:
            row += [f"{cost['events']:,.0f}", f"{cost['synaptic_operations']:,.0f}"]
            row += [f"{cost['synaptic_operations'] / cost['macs']:.2f}", f"{cost['energy_j'] * 1e3:.3g} mJ"]
        else:
            row += [""] * 4
        rows.append(row)
    return _markdown(heads, rows)


def _sweep(parts: Parts, jobs: Mapping[str, Job], keys: list[str], rest: list[str]) -> str:
    lines = _lines(parts, jobs, keys, rest)
    steps = sorted({step for points in lines.values() for step in points})
    rows = [
        [name, *(f"{points[step]:.3f}" if step in points else "" for step in steps)] for name, points in lines.items()
    ]
    return _markdown(["variant", *(f"T = {step}" for step in steps)], rows)


def _lines(parts: Parts, jobs: Mapping[str, Job], keys: list[str], rest: list[str]) -> dict[str, dict[int, float]]:
    """Loss in dB by variant and T."""
    float_db = next(parts[key]["overall"]["psnr_db"] for key in rest if _is_float(jobs[key]))
    found: dict[str, dict[int, float]] = {}
    for key in keys:
        variant, _, steps = jobs[key].name.rpartition(", T = ")
        found.setdefault(variant, {})[int(steps)] = float_db - parts[key]["overall"]["psnr_db"]
    return found


def _within(parts: Parts, jobs: Mapping[str, Job], keys: list[str], rest: list[str]) -> str:
    lines = _lines(parts, jobs, keys, rest)
    first = {
        name: next((step for step in sorted(points) if points[step] <= WITHIN_DB), None)
        for name, points in lines.items()
    }
    base = first.get("IF, connection-wise")
    rows = []
    for name, steps in first.items():
        share = f"{steps / base:.0%}" if steps and base else ""
        rows.append([name, f"more than {max(lines[name])}" if steps is None else str(steps), share])
    float_db = next(parts[key]["overall"]["psnr_db"] for key in rest if _is_float(jobs[key]))
    for key in rest:
        if not _is_float(jobs[key]):
            steps = int(jobs[key].name.rpartition("fine-tuned for T = ")[2]) if " for T = " in jobs[key].name else 1
            reached = float_db - parts[key]["overall"]["psnr_db"] <= WITHIN_DB
            share = f"{steps / base:.0%}" if reached and base else ""
            rows.append([jobs[key].name, str(steps) if reached else f"not in {steps}", share])
    return _markdown(["network", "T", "of IF, connection-wise"], rows)


def _bits(parts: Parts, jobs: Mapping[str, Job], keys: list[str], rest: list[str]) -> str:
    float_db = next(parts[key]["overall"]["psnr_db"] for key in rest if _is_float(jobs[key]))
    found: dict[str, dict[str, float]] = {}
    for key in keys:
        bits, _, kind = jobs[key].name.partition(", ")
        found.setdefault(bits, {})[kind] = float_db - parts[key]["overall"]["psnr_db"]
    kinds = list(dict.fromkeys(kind for values in found.values() for kind in values))
    rows = [
        [bits, *(f"{values[kind]:.3f}" if kind in values else "" for kind in kinds)] for bits, values in found.items()
    ]
    return "Loss in dB.\n\n" + _markdown(["weights", *kinds], rows)


def _missing(jobs: list[Job]) -> str:
    if not jobs:
        return "Nothing was left out.\n"
    lines = "\n".join(f"* {job.data.name}, {job.crop or 'whole'}: {job.name}" for job in jobs)
    return f"## Not measured here\n\nThe time given to the run (`--budget`) ended before:\n\n{lines}\n"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, rule, *rows]) + "\n"
