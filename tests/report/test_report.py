"""The report: one file, nothing outside it, everything escaped, and readable in a browser, on a phone and on paper."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from snn_deploy.cli import app as cli
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ReportError
from snn_deploy.network import artifact
from snn_deploy.report import Curve, charts
from snn_deploy.report.compared_pictures import compare_pictures
from snn_deploy.report.network_picture import _assign_lanes, _halvings
from snn_deploy.targets.quantity import Quantity
from snn_deploy.testing import random_unet
from tests.cli.models import write_head, write_unet

HEADINGS = (
    "Images",
    "Quality over the budget",
    "Network",
    "Loss of every layer",
    "Spikes of every population",
    "Energy and time",
    "Cores",
    "Verification",
    "Operators",
    "Provenance",
)

VOID = {"meta", "link", "img", "br"}


class Reader(HTMLParser):
    """Headings, addresses, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] != "style":
            self.words.append(data)


Write = Callable[..., str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model whose name needs escaping, networks of both modes made of it, and a picture."""
    folder = tmp_path_factory.mktemp("report")
    found = {"model": write_unet(folder / "a & <b>.onnx"), "folder": folder, "picture": folder / "picture.png"}
    ramp = np.add.outer(np.arange(32) * 4, np.arange(48) * 2).astype(np.uint8)
    Image.fromarray(ramp).save(found["picture"])
    (folder / "calibration").mkdir()
    Image.fromarray(ramp).save(folder / "calibration" / "0.png")
    patch = (ramp[None, None, ::2, ::3] / 255).astype(np.float32)
    for mode in ("exact", "rate"):
        network = convert(found["model"], [patch], Options(mode=mode, levels=31, steps=6)).conversion.network
        found[mode] = folder / f"{mode}.snn"
        artifact.save(network, found[mode])
    return found


@pytest.fixture
def write(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Runs ``snn-deploy report`` and returns what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(mode: str, *words: object, status: int = 0) -> str:
        out = tmp_path / "report.html"
        given = ("report", files[mode], "--input", files["picture"], "--backend", "reference", "--out", out, *words)
        assert cli.main([str(word) for word in given]) == status
        return out.read_text(encoding="utf-8")

    return run


@pytest.fixture(scope="module")
def whole(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all its parts."""
    out = tmp_path_factory.mktemp("whole") / "report.html"
    words = ("report", files["exact"], "--input", files["picture"], "--noise", 10, "--model", files["model"])
    more = ("--calibration", files["folder"] / "calibration", "--verify-crop", "16x16", "--backend", "reference")
    assert cli.main([str(word) for word in (*words, *more, "--out", out)]) == 0
    return out


def test_all_parts_are_there_and_nothing_comes_from_outside(whole: Path) -> None:
    text = whole.read_text(encoding="utf-8")
    read = Reader(text)
    assert read.open == []
    assert tuple(read.headings) == HEADINGS
    assert all(source.startswith(("data:", "#")) for source in read.sources)
    assert "script" not in read.tags
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    words = " ".join(read.words)
    for part in (
        "EQUAL at level train",
        "PSNR of the spiking network",
        "9 nodes of the ONNX file",
        "energy.synapse_pj",
        "one image at a time: each layer works in one step",
        "% static, without host I/O",
        "not in the energy: host input and output, barriers between steps",
    ):
        assert part in words
    assert "Not here" not in words
    assert "fits loihi2" in words
    assert 'class="chip"' in text


def test_names_are_escaped(whole: Path) -> None:
    text = whole.read_text(encoding="utf-8")
    assert "<b>.onnx" not in text
    assert "a &amp; &lt;b&gt;" in text


def test_what_is_missing_is_said_and_why(write: Write) -> None:
    words = " ".join(Reader(write("exact", "--verify-crop", "16x16")).words)
    assert "with noise, or with the float model, there is something to compare with" in words
    assert "give the float model, too" in words


def test_a_network_of_fixed_size_needs_no_crop(tmp_path: Path, files: dict[str, Path]) -> None:
    """Its own size, not 64x64, is compared: all of an image of 72x72, or 16x16 of a network of that size."""
    for size in (16, 72):
        artifact.save(random_unet("exact", 0, size=size), tmp_path / "fixed.snn")
        picture, out = tmp_path / "a.png", tmp_path / "r.html"
        Image.new("L", (size, size), 99).save(picture)
        words = ("report", tmp_path / "fixed.snn", "--input", picture, "--backend", "reference", "--out", out)
        assert cli.main([*map(str, words)]) == 0
        text = out.read_text(encoding="utf-8")
        assert "Compared on the middle" not in text
        assert '<p class="lead">Spiking network in exact mode; 10 populations, ' in text, "it was not converted"


def test_label_maps_are_compared_as_labels(tmp_path: Path, files: dict[str, Path]) -> None:
    model = write_head(tmp_path / "m.onnx", 4, "ArgMax")
    patch = np.random.default_rng(0).random((1, 1, 16, 16)).astype(np.float32)
    artifact.save(convert(model, [patch], Options(levels=255)).conversion.network, tmp_path / "n.snn")
    words = ("report", tmp_path / "n.snn", "--input", files["picture"], "--model", model, "--noise", 5)
    assert cli.main([*map(str, words), "--backend", "reference", "--out", str(tmp_path / "r.html")]) == 0
    text = " ".join(Reader((tmp_path / "r.html").read_text(encoding="utf-8")).words)
    share = re.search(r"pixels of the float network's class\s+([\d.]+)%", text)
    assert share is not None
    assert 90 < float(share[1]) <= 100
    assert "the output is a label map, of which PSNR says nothing" in text
    assert "dB" not in text.replace("PSNR in dB", "")


def test_a_batch_is_refused(tmp_path: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "three.npy", np.zeros((3, 1, 16, 16), np.float32))
    words = ("report", files["exact"], "--input", tmp_path / "three.npy", "--out", tmp_path / "r.html")
    assert cli.main([*map(str, words)]) == 3
    assert "three.npy: 3 images; a report shows one" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_rate_mode_shows_quality_over_steps(write: Write) -> None:
    text = write("rate", "--noise", "5", "--verify-crop", "16x16")
    circles = re.findall(r"<circle[^>]*><title>(\d+): ([\d.]+)</title>", text)
    assert [int(step) for step, _ in circles] == [1, 2, 3, 4, 5, 6]
    last = re.search(r"<b>spiking network</b>([\d.]+) dB", text)
    assert last is not None
    assert abs(float(circles[-1][1]) - float(last[1])) < 0.006, "the last step is the whole run, to the digits shown"


def test_what_does_not_fit_is_shown_without_an_estimate(write: Write) -> None:
    text = write("exact", "--verify-crop", "16x16", "--target", "loihi1")
    assert "does not fit loihi1" in " ".join(Reader(text).words)
    tile = r'<div class="tile long"><span>cores of loihi1</span><b class="bad">does not fit</b><small>.*loihi1 sends binary'
    assert re.search(tile, text)
    assert text.index("does not fit") < text.index("<nav>")


def test_every_link_leads_somewhere_and_populations_to_their_nodes(whole: Path) -> None:
    text = whole.read_text(encoding="utf-8")
    targets, places = set(re.findall(r'href="#([^"]+)"', text)), re.findall(r'id="([^"]+)"', text)
    assert targets <= set(places)
    assert len(places) == len(set(places))
    (row,) = re.findall(r'<a href="#(node-\d+)" title="/mid/Relu; ONNX nodes: /mid/Relu, [^"]*">mid/Relu</a>', text)[:1]
    assert f'<code id="{row}">/mid/Relu</code>' in text


def test_the_network_is_drawn_with_its_skips_and_events(whole: Path, files: dict[str, Path]) -> None:
    text, network = whole.read_text(encoding="utf-8"), artifact.load(files["exact"])
    drawn = text[text.index('<svg class="network"') : text.index('id="loss-of-every-layer"')]
    assert drawn.count('class="box"') == len(network.populations)
    places = {population.name: row for row, population in enumerate(network.populations)}
    far = {(each.source, each.target) for each in network.connections if places[each.target] - places[each.source] > 1}
    assert far
    assert drawn.count('class="skip"') == len(far)
    lefts = [int(x) for x in re.findall(r'class="box" x="(\d+)"', drawn)]
    lanes = [int(x) for x in re.findall(r"Q(\d+) ", drawn)]
    assert max(lanes) < min(lefts)
    assert lefts[places["/mid/Relu"]] > lefts[0], "smaller maps stand further to the right"


def test_a_network_of_lines_is_indented_by_their_width() -> None:
    line, shorter, whole = (
        replace(random_unet("exact", 0).input, shape=(1, *size), bias=np.zeros((1, 1, 1), np.int64))
        for size in ((1, 64), (1, 16), (32, 32))
    )
    assert (_halvings(line, shorter), _halvings(line, line), _halvings(shorter, line), _halvings(whole, line)) == (
        2,
        0,
        -2,
        5,
    )


def test_skips_that_overlap_have_lanes_of_their_own() -> None:
    lanes = _assign_lanes([(0, 9), (1, 3), (3, 6), (4, 8), (7, 9)])
    assert (lanes[1, 3], lanes[7, 9]) == (0, 0)
    for (first, last), (begin, end) in combinations(lanes, 2):
        assert last < begin or end < first or lanes[first, last] != lanes[begin, end]


def test_layers_show_what_they_lost_and_why(whole: Path, files: dict[str, Path]) -> None:
    text = whole.read_text(encoding="utf-8")
    table = text[text.index('id="loss-of-every-layer"') : text.index('id="spikes-of-every-population"')]
    causes = re.findall(r'<td class="">(clipping|rounding|inputs|weights|none)</td>', table)
    assert len(causes) == len(artifact.load(files["exact"]).populations) - 1
    assert "rounding" in causes


def test_warnings_stand_at_the_top(write: Write, tmp_path: Path) -> None:
    image = np.full((1, 1, 32, 48), 0.3, np.float32)
    image[0, 0, :5] = 1.0
    np.save(tmp_path / "bright.npy", image)
    text = write("exact", "--verify-crop", "16x16", "--input", tmp_path / "bright.npy")
    (box,) = re.findall(r'<div class="warnings"><b>2 warnings</b><ul>(.*?)</ul>', text)
    assert "of the input&#x27;s values are outside of 0 to" in box
    assert "Loihi 2 resets only every 2**n steps" in box
    assert text.index('class="warnings"') < text.index("<nav>")


def test_a_loss_above_a_tenth_of_a_decibel_is_red() -> None:
    clean = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    expected = clean + np.float32(0.1)
    for factor, is_bad in ((1.01, False), (1.02, True), (0.5, False)):
        scores, _ = compare_pictures(clean, clean, clean + 0.1 * factor, expected, (), noise=1.0)
        change = next(score for score in scores if score.name == "change against the float network")
        assert change.is_bad == is_bad, change


def test_targets_without_cores_or_limits_are_refused(write: Write) -> None:
    words = " ".join(Reader(write("exact", "--verify-crop", "16x16", "--target", "cmos45-int8")).words)
    assert "cmos45-int8 is not a chip; its coefficients are of arithmetic operations" in words


def test_another_models_file_is_refused(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = write_unet(tmp_path / "rgb.onnx", channels=3)
    words = ("report", files["exact"], "--input", files["picture"], "--model", other, "--out", tmp_path / "r.html")
    assert cli.main([*map(str, words), "--backend", "reference"]) == 3
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1
    assert said[0].startswith("snn-deploy report: image (1, 1, 32, 48): ")
    assert not (tmp_path / "r.html").exists()


def test_a_model_that_was_not_converted_is_told_or_refused_with_the_one_that_was(
    files: dict[str, Path], write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = onnx.load(files["model"])
    changed.doc_string = "tuned"
    onnx.save(changed, tmp_path / "tuned.onnx")
    words = ("--verify-crop", "16x16", "--no-curve", "--model")
    told = "tuned.onnx is not the file that the artifact was converted from (a &amp; &lt;b&gt;.onnx): losses include"
    assert told in write("exact", *words, tmp_path / "tuned.onnx")
    assert "is not the file" not in write("exact", *words, files["model"])
    smooth = write_unet(tmp_path / "smooth.onnx", extra="Selu")
    given = ("report", files["exact"], "--input", files["picture"], "--out", tmp_path / "no.html", *words, smooth)
    assert cli.main([*map(str, given)]) == 3
    assert capsys.readouterr().err.endswith("; the artifact was converted from a & <b>.onnx\n")


def test_a_stream_is_drawn_over_its_frames(files: dict[str, Path], tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(np.roll(np.asarray(Image.open(files["picture"])), 3 * number, 1)).save(
            tmp_path / f"{number}.png"
        )
    out = tmp_path / "r.html"
    words = (
        "report",
        files["exact"],
        "--stream",
        tmp_path,
        "--crop",
        "16x16",
        "--verify-crop",
        "16x16",
        "--backend",
        "reference",
    )
    scored = ("--task", "denoise", "--noise", 5, "--model", files["model"], "--no-curve")
    assert cli.main([*map(str, (*words, *scored, "--out", out))]) == 0
    text = out.read_text(encoding="utf-8")
    read = Reader(text)
    assert [heading for heading in read.headings if heading not in HEADINGS] == ["Frames of the stream"]
    said = " ".join(read.words)
    for part in (
        "denoise: psnr_db",
        "3 frame(s)",
        "per frame: operations per MAC; neurons that changed (dashed)",
        "PSNR in dB: spiking network; float",
        "loss in dB: float network above",
        "mean of 2 frame(s) after the first",
        "spiking against float network",
    ):
        assert part in said
    assert "operations per MAC of a frame" in said
    assert cli.main([*map(str, (*words, "--out", out))]) == 0
    said = " ".join(Reader(out.read_text(encoding="utf-8")).words)
    assert "PSNR in dB: spiking network" not in said
    assert "3 frame(s), 0." in said
    noisy = Reader(text)
    assert f"{tmp_path}: 0.png" in " ".join(noisy.words)


def test_lines_leave_out_what_is_infinite() -> None:
    drawn = charts.lines(
        (charts.Line("<a>", (0.5, float("inf"), 1.0)), charts.Line("b", (0.25, 0.5, 0.75))), "frame", "dB"
    )
    points = re.findall(r'points="([^"]*)"', drawn)
    assert [len(line.split()) for line in points] == [2, 3]
    assert "&lt;a&gt;" in drawn
    x = [[float(point.split(",")[0]) for point in line.split()] for line in points]
    assert x[0] == [x[1][0], x[1][2]] == [56, 624]
    y = [float(point.split(",")[1]) for point in points[1].split()]
    assert y[0] > y[1] > y[2]
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2)
    assert 'class="curve second"' in drawn
    one = charts.lines((charts.Line("a", (1.0,)),), "frame", "dB")
    assert 'points="56.0,' in one


def test_charts_draw_what_they_are_given() -> None:
    drawn = charts.line(((1, 20.0), (2, 25.0), (4, 26.0)), "T", "dB", 2, ("float", 26.5))
    assert drawn.count("<circle") == 3
    heights = [float(y) for _, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert heights == sorted(heights, reverse=True)
    assert "--share:0.2500" in charts.bar(0.25, "25%")
    assert "--low:0.2500;--value:0.5000;--high:1.0000" in charts.band(Quantity(2, 1, 4), 4)
    assert "silent" in charts.histogram(np.zeros((1, 1, 2, 2), np.int64))
    assert charts.histogram(np.array([1, 1, 1, 5])).count("<rect") == 2
    drawn = charts.bars([Quantity(1e-3, 5e-4, 2e-3), Quantity(2e-3, 1e-3, 4e-3)], ["a", "<b>"], ["step 0", "step 1"])
    tall = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', drawn)]
    assert tall[1] == pytest.approx(2 * tall[0], abs=0.2)
    assert drawn.count('class="whisker"') == 2
    assert "&lt;b&gt;" in drawn
    with pytest.raises(ReportError, match="in the order of their budgets$"):
        Curve("T", "", ((2, 1.0), (1, 2.0)), 1)


# ------------------------------------------------------------------------------------------------------ in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


def browse(page: Path, folder: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    if CHROMIUM is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium), which is not here")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=os.environ | {"HOME": str(folder)}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "flags"), [("wide", 1200, ()), ("phone", 400, ()), ("dark", 1200, ("--force-dark-mode",))]
)
def test_it_renders_without_complaints(
    whole: Path, tmp_path: Path, name: str, width: int, flags: tuple[str, ...]
) -> None:
    shot = tmp_path / f"{name}.png"
    seen = browse(whole, tmp_path, f"--window-size={width},1600", f"--screenshot={shot}", *flags)
    assert "CONSOLE" not in seen.stderr, seen.stderr
    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("L"), np.float64)
    assert pixels.shape == (1600, width)
    assert pixels.std() > 10, "the page is blank"
    assert (np.median(pixels) < 60) == (name == "dark")


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_is_wider_than_the_screen(whole: Path, tmp_path: Path, width: int) -> None:
    """Measured by a script in a copy of the page that allows one: wide tables scroll inside, not the page."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole.read_text(encoding="utf-8"))
    script = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    seen = browse(copy, tmp_path, f"--window-size={width},1000", "--dump-dom")
    (found,) = re.findall(r"<title>(\d+) of (\d+)</title>", seen.stdout)
    assert int(found[0]) <= int(found[1]) == width


@pytest.mark.slow
def test_it_prints(whole: Path, tmp_path: Path) -> None:
    browse(whole, tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
