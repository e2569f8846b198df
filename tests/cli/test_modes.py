"""Every verb, mode and option: it acts, or it is refused with one line; ``--json`` is JSON in every mode.

The cases come from the parser and from the verbs' tables: an option without a place in a table is found here.
"""

import argparse
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from snn_deploy.cli import app as cli
from snn_deploy.cli.modes import GENERAL, Modes
from snn_deploy.cli.project import verbs_of
from snn_deploy.display.console import SCHEMA_VERSION
from tests.cli.conftest import Tool
from tests.cli.models import write_foreign, write_unet

PARSER = cli.parser()
PARSERS = verbs_of(PARSER)

EXAMPLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "inspect": (("LAVADL",), ("NIR",), ("MODEL",)),
    "convert": (("MODEL", "--out", "o.snn"), ("MODEL", "--out", "o.snn", "--preset", "if")),
    "import": (("LAVADL", "--out", "o.snn"), ("NIR", "--out", "o.snn")),
    "finetune": (
        ("MODEL", "--data", "PICS", "--task", "denoise", "--out", "o.snn"),
        ("MODEL", "--data", "PICS", "--task", "denoise", "--out", "o.snn", "--preset", "if"),
    ),
    "run": (("NET", "--stream", "PICS"), ("NET", "--input", "PIC")),
    "evaluate": (
        ("MODEL", "--data", "PICS", "--task", "denoise"),
        ("NET", "--stream", "PICS", "--task", "denoise"),
        ("NET", "--data", "PICS", "--task", "denoise", "--plan", "PLAN"),
        ("NET", "--data", "PICS", "--task", "denoise"),
    ),
    "verify": (
        ("NET", "--check", "CERTIFICATE"),
        ("NET", "--counters", "c.csv", "--input", "PIC"),
        ("NET", "--prove"),
        ("NET", "--suggest-stimulus", "PICS"),
        ("NET", "--probe-plan"),
        ("NET", "--input", "PIC", "--shuffle", "2"),
        ("NET", "--stream", "PICS"),
        ("NET", "--input", "PICS"),
        ("NET", "--input", "PIC", "--plan", "PLAN"),
        ("NET", "--input", "PIC"),
    ),
    "diff": (("NET", "NET"),),
    "estimate": (
        ("NET", "--stream", "PICS"),
        ("NET", "--plan", "PLAN", "--input", "PIC"),
        ("NET", "--against", "sanafe", "--input", "PIC"),
        ("NET", "--rate", "0.5"),
        ("NET", "--input", "PIC"),
    ),
    "plan": (("MODEL", "--input", "PIC"), ("NET", "--input", "PIC")),
    "sweep": (("MODEL", "--input", "PIC", "--grid", "levels=3"),),
    "emit": (
        ("NET", "--to", "lava", "--out", "bundle", "--stream", "frames"),
        ("NET", "--to", "lava", "--out", "bundle"),
        ("NET", "--to", "sanafe", "--out", "files"),
        ("NET", "--to", "onnx", "--out", "o.onnx"),
    ),
    "report": (("NET", "--stream", "PICS", "--out", "r.html"), ("NET", "--input", "PIC", "--out", "r.html")),
    "view": (("MODEL",), ("NET",)),
    "backends": ((),),
    "targets": ((),),
    "schema": (("run",),),
    "complete": (("bash",),),
    "demo": ((),),
}
"""A command line for every mode of every verb, in the order of its table."""


def modes_of(verb: str) -> Modes:
    table: Modes = PARSERS[verb].get_default("modes")
    return table


def options_of(verb: str) -> Iterator[argparse.Action]:
    return (action for action in PARSERS[verb]._actions if action.option_strings and action.dest not in GENERAL)


def words_for(action: argparse.Action) -> tuple[str, ...]:
    """The option with a value that it accepts."""
    option = action.option_strings[-1]
    if action.nargs in (0, "*"):
        return (option,)
    if action.choices:
        return (option, str(next(iter(action.choices))))
    for value in ("1", "2", "8x8", "reference", "0-1", "0..1"):
        try:
            (action.type or str)(value)  # type: ignore[operator]  # a function from text, in our verbs
            return option, value
        except argparse.ArgumentTypeError:
            continue
    raise AssertionError(option)


@pytest.fixture(scope="session")
def stands_for(
    tmp_path_factory: pytest.TempPathFactory, network: Path, picture: Path, pictures: Path
) -> dict[str, object]:
    """Files that words in capitals stand for."""
    folder = tmp_path_factory.mktemp("files")
    certificate = folder / "certificate.json"
    words = ["verify", network, "--input", picture, "--crop", "16x16", "--certificate", certificate]
    assert cli.main([str(word) for word in words]) == 0
    model = write_unet(folder / "unet.onnx")
    leaky, spiking = write_foreign(folder)
    plan = folder / "plan.json"
    assert cli.main(["plan", str(network), "--input", str(picture), "--out", str(plan), "--quiet"]) == 0
    known: dict[str, object] = {
        "NET": network,
        "PIC": picture,
        "PICS": pictures,
        "MODEL": model,
        "CERTIFICATE": certificate,
        "PLAN": plan,
    }
    return known | {"LAVADL": leaky, "NIR": spiking}


def test_every_option_has_a_place_and_every_place_an_option() -> None:
    assert set(EXAMPLES) == set(cli.VERBS) == set(PARSERS)
    for verb in cli.VERBS:
        known = {action.dest for action in PARSERS[verb]._actions} - GENERAL
        placed = {option for mode in modes_of(verb).modes for option in mode.acting}
        assert placed == known, verb
        needed = {option for need in modes_of(verb).needs for option in need.options.split()}
        assert needed - {"backend"} <= known, verb
        assert len(modes_of(verb).modes) == len(EXAMPLES[verb]), verb


@pytest.mark.parametrize(("verb", "number"), [(verb, n) for verb in cli.VERBS for n in range(len(EXAMPLES[verb]))])
def test_an_option_of_another_mode_is_refused(
    tool: Tool, stands_for: dict[str, object], empty_folder: Path, verb: str, number: int
) -> None:
    words = [stands_for.get(word, word) for word in EXAMPLES[verb][number]]
    parsed = PARSER.parse_args([verb, *map(str, words)])
    mode = modes_of(verb).chosen(parsed)
    assert mode is modes_of(verb).modes[number]
    for action in options_of(verb):
        if action.dest in mode.acting or action.option_strings[-1] in words:
            continue
        more = words_for(action)
        other = modes_of(verb).chosen(PARSER.parse_args([verb, *map(str, words), *more]))
        if other is not mode:
            continue  # the option chooses a mode of its own, in which the test comes to it again
        found = tool(verb, *words, *more)
        assert (found.status, found.out) == (3, ""), (more, found)
        assert found.err == f"snn-deploy {verb}: {more[0]} has no effect {mode.where}; leave it out\n"
    assert list(empty_folder.iterdir()) == []


NEEDS = [
    (("run", "NET", "--input", "PIC"), "--seed 1", "without --noise"),
    (("run", "NET", "--input", "PIC"), "--labels", "without --out"),
    (("run", "NET", "--input", "PIC"), "--colors", "without --out"),
    (("verify", "NET", "--input", "PIC"), "--seed 1", "without --noise"),
    (("verify", "NET", "--input", "PIC"), "--share 0.5", "without --trace"),
    (("verify", "NET", "--input", "PIC"), "--spread", "without --trace"),
    (("verify", "NET", "--input", "PIC"), "--mark 128", "without --trace"),
    (("verify", "NET", "--input", "PIC"), "--bits 8", "without --trace"),
    (("verify", "NET", "--input", "PIC"), "--dt 1", "without --trace"),
    (("verify", "NET", "--trace", "t.npz"), "--crop 8x8", "without --input, on images that a recording holds"),
    (("verify", "NET", "--input", "PIC", "--trace", "t.npz"), "--dt 1", "without a .nir file as --trace"),
    (
        ("verify", "NET", "--input", "PIC", "--certificate", "c.json"),
        "--workers 2",
        "where one batch after the other is",
    ),
    (("verify", "NET", "--input", "PIC", "--shuffle", "2"), "--certificate c.json", "with --shuffle; leave it out"),
    (("verify", "NET", "--input", "PIC", "--shuffle", "2"), "--backends reference,cpu", "beyond its first name"),
    (("verify", "NET", "--prove", "--backends", "cpu,onnx"), "--out p.json", "with several backends, of which each"),
    (("verify", "NET", "--prove", "--emitted", "e.onnx"), "--backends onnx", "with --emitted, which is a file"),
    (("verify", "NET", "--input", "PICS", "--scheduler", "tcp://x:1"), "--workers 2", "with --scheduler"),
    (("evaluate", "NET", "--data", "PICS", "--task", "denoise"), "--overlap 8", "without --tile"),
    (("evaluate", "NET", "--data", "PICS", "--task", "denoise"), "--seed 8", "without --noise"),
    (("diff", "NET", "NET"), "--crop 8x8", "without --input"),
    (("emit", "NET", "--to", "onnx", "--out", "o.onnx"), "--crop 8x8", "without --input or --stream"),
    (("view", "NET"), "--backend cpu", "without --input"),
    (
        ("estimate", "NET", "--rate", "0.1", "--target", "cmos45-int8"),
        "--map m.svg",
        "with a --target that is not a chip",
    ),
    (
        ("estimate", "NET", "--rate", "0.1", "--target", "cmos45-int8"),
        "--streamed",
        "with a --target that is not a chip",
    ),
    (("estimate", "NET", "--rate", "0.1"), "--noise 3", "with --rate"),
    (("report", "NET", "--input", "PIC", "--out", "r.html"), "--calibration PICS", "without --model"),
    (
        ("report", "NET", "--input", "PIC", "--out", "r.html", "--model", "MODEL", "--no-curve"),
        "--calibration PICS",
        "with --no-curve",
    ),
    (
        ("finetune", "MODEL", "--data", "PICS", "--task", "segment", "--out", "o.snn"),
        "--noise 3",
        "with --task segment",
    ),
]
"""Options that another one must go with."""


@pytest.mark.parametrize(
    ("words", "option", "reason"), NEEDS, ids=[f"{words[0]} {option}" for words, option, _ in NEEDS]
)
def test_an_option_that_needs_another(
    tool: Tool, stands_for: dict[str, object], empty_folder: Path, words: tuple[str, ...], option: str, reason: str
) -> None:
    name, *value = option.split()
    found = tool(*(stands_for.get(word, word) for word in (*words, name, *value)))
    assert (found.status, found.out, found.err.count("\n")) == (3, "", 1)
    assert found.err.startswith(f"snn-deploy {words[0]}: {name} has no effect ")
    assert reason in found.err
    assert list(empty_folder.iterdir()) == []


def test_several_options_without_effect_are_named_together(tool: Tool, network: Path, picture: Path) -> None:
    found = tool(
        "verify", network, "--input", picture, "--shuffle", "2", "--level=state", "--trace", "t.npz", "--mark", "9"
    )
    assert found.err == ("snn-deploy verify: --level, --trace, --mark have no effect with --shuffle; leave them out\n")


def test_a_project_file_serves_every_mode(tool: Tool, empty_folder: Path, network: Path, picture: Path) -> None:
    """What it sets without effect is left out with a note; what the command line adds is refused."""
    text = f'[estimate]\nnetwork = "{network}"\ninput = "{picture}"\nbackend = "reference"\ncrop = "16x16"\n'
    (empty_folder / "snn-deploy.toml").write_text(text)
    with_image = tool("estimate", "--json")
    assert with_image.status == 0
    assert with_image.err == "options of [estimate] from snn-deploy.toml\n"
    assumed = tool("estimate", "--rate", "0.5", "--json")
    assert assumed.status == 0
    assert assumed.err == "options of [estimate] from snn-deploy.toml\n" + "".join(
        f"snn-deploy.toml: {option} has no effect with --rate; it is left out\n"
        for option in ("input", "backend", "crop")
    )
    (empty_folder / "empty.toml").write_text("")
    assert assumed.out == tool("estimate", network, "--rate", "0.5", "--json", "--project", "empty.toml").out
    refused = tool("estimate", "--rate", "0.5", "--noise", "3")
    assert refused.status == 3
    assert refused.err.endswith("snn-deploy estimate: --noise has no effect with --rate; leave it out\n")


JSON: dict[tuple[str, ...], str] = {
    ("inspect", "MODEL"): "inspect",
    ("inspect", "NIR"): "inspect",
    ("import", "LAVADL", "--out", "o.snn"): "import",
    ("convert", "MODEL", "--size", "16x16", "--calibration", "PICS", "--out", "o.snn"): "convert",
    ("run", "NET", "--input", "PIC"): "run",
    ("evaluate", "MODEL", "--data", "PICS", "--task", "denoise"): "evaluate",
    ("evaluate", "NET", "--data", "PICS", "--task", "denoise", "--backend", "reference", "--noise", "9"): "evaluate",
    ("verify", "NET", "--check", "CERTIFICATE"): "verify-check",
    ("verify", "NET", "--check", "CERTIFICATE", "--input", "PIC"): "verify-check",
    ("verify", "NET", "--check", "CERTIFICATE", "--input", "OTHER"): "verify-check",
    ("verify", "NET", "--prove", "--backends", "onnx"): "verify-proof",
    ("verify", "NET", "--suggest-stimulus", "PICS", "--crop", "8x8"): "verify-suggest-stimulus",
    ("verify", "NET", "--probe-plan"): "verify-probe-plan",
    ("verify", "NET", "--probe-plan", "/mid/Relu=equal"): "verify-probe-plan",
    ("verify", "NET", "--input", "PIC", "--crop", "16x16", "--shuffle", "2"): "verify",
    ("verify", "NET", "--input", "PICS", "--crop", "16x16"): "verify-folder",
    ("verify", "NET", "--input", "PIC", "--crop", "16x16", "--mutation", "--certificate", "c.json"): "verify",
    ("diff", "NET", "NET"): "diff",
    ("diff", "NET", "NET", "--input", "PIC"): "diff",
    ("estimate", "NET", "--rate", "0.5"): "estimate",
    ("estimate", "NET", "--input", "PIC", "--map", "map.svg"): "estimate",
    ("sweep", "MODEL", "--input", "PIC", "--calibration", "PICS", "--crop", "16x16", "--grid", "levels=3,7"): "sweep",
    ("emit", "NET", "--to", "lava", "--out", "bundle"): "emit",
    ("emit", "NET", "--to", "onnx", "--out", "o.onnx"): "emit",
    ("report", "NET", "--input", "PIC", "--verify-crop", "16x16", "--out", "r.html"): "report",
    ("report", "NET", "--stream", "PICS", "--crop", "16x16", "--out", "r.html"): "report",
    ("view", "NET", "--out", "v.onnx"): "view",
    ("backends",): "backends",
    ("targets",): "targets",
    ("targets", "loihi2"): "targets",
    ("verify", "NET", "--counters", "COUNTERS", "--input", "PIC"): "verify-counters",
    ("schema",): "schema",
    ("schema", "run"): "schema",
    ("complete", "bash"): "complete",
    ("run", "NET", "--stream", "PICS", "--crop", "16x16"): "run-stream",
    ("estimate", "NET", "--stream", "PICS", "--crop", "16x16"): "estimate-stream",
    (
        "evaluate",
        "NET",
        "--stream",
        "PICS",
        "--crop",
        "16x16",
        "--task",
        "denoise",
        "--noise",
        "9",
        "--model",
        "MODEL",
    ): "evaluate-stream",
    ("estimate", "NET", "--plan", "PLAN", "--input", "PIC"): "estimate-plan",
    ("verify", "NET", "--stream", "PICS", "--crop", "16x16"): "verify",
    ("plan", "NET", "--input", "PIC"): "plan",
}
"""A command line for every kind of result, and the kind."""


@pytest.mark.parametrize("words", JSON, ids=lambda words: " ".join(words)[:60])
def test_json_is_of_its_kind(
    tool: Tool,
    stands_for: dict[str, object],
    pictures: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if words[0] == "complete":
        pytest.importorskip("shtab", reason="needs the extra completion")
    if "lava" in words:
        pytest.importorskip("lava", reason="needs lava-nc")
    if words[0] == "backends":  # test_verbs.py runs all of them
        monkeypatch.setattr("snn_deploy.cli.commands.backends.list_backends", lambda: ("cpu", "reference"))
    counters = tmp_path / "counters.csv"
    counters.write_text("population,syn_ops\n/mid/Relu,1\n", encoding="utf-8")
    table = stands_for | {"OTHER": pictures / "1.png", "COUNTERS": counters}
    found = tool(*(table.get(word, word) for word in words), "--json")
    assert found.status in (0, 1, 2), found.err
    assert json.loads(found.out)["schema"] == f"{JSON[words]}/{SCHEMA_VERSION}"


def test_options_act(tool: Tool, stands_for: dict[str, object], tmp_path: Path) -> None:
    """Real runs with and without an option: another result, or another file."""
    net, picture, pictures = stands_for["NET"], stands_for["PIC"], stands_for["PICS"]
    run = ("run", net, "--input", picture, "--backend", "reference", "--json")
    cropped, noisy, other = (
        json.loads(tool(*run, *more).out)["stimulus"]
        for more in (("--crop", "16x16"), ("--noise", "20"), ("--noise", "20", "--seed", "1"))
    )
    assert len({json.loads(tool(*run).out)["stimulus"], cropped, noisy, other}) == 4

    verify = ("verify", net, "--input", picture, "--crop", "16x16", "--json")
    counts = json.loads(tool(*verify, "--level", "neuron-count").out)["verdict"]
    assert counts["asked"] != json.loads(tool(*verify).out)["verdict"]["asked"]
    assert json.loads(tool(*verify, "--mutation").out)["mutation"] is not None
    assert json.loads(tool(*verify, "--backends", "cpu,reference").out)["verdict"]["backends"] == ["cpu", "reference"]

    evaluate = (
        "evaluate",
        net,
        "--data",
        pictures,
        "--task",
        "denoise",
        "--backend",
        "reference",
        "--noise",
        9,
        "--json",
    )
    whole = json.loads(tool(*evaluate).out)
    assert len(json.loads(tool(*evaluate, "--images", "0-0").out)["images"]) == 1
    estimated = ("energy_j", "static_j", "latency_s", "boundary")
    for target, known in (("loihi2", estimated), ("cmos45-int8", estimated[:1]), (None, ())):
        more = () if target is None else ("--target", target)
        cost = json.loads(tool(*evaluate, *more).out)["cost_per_image"]
        assert {name for name in estimated if cost[name] is not None} == set(known), "not estimated is not 0"
    shown = tool(*evaluate[:-1], "--target", "loihi2").out
    assert re.search(r"J on loihi2 \(\d+% static, without host I/O\), latency \d", " ".join(shown.split()))
    floats = json.loads(tool("evaluate", stands_for["MODEL"], *evaluate[2:6], "--json").out)
    assert floats["cost_per_image"] is None
    assert json.loads(tool(*evaluate, "--seed", "5").out) != whole
    tiled = json.loads(tool(*evaluate, "--tile", "16x16", "--overlap", "4").out)
    assert (
        tiled["cost_per_image"]
        != json.loads(tool(*evaluate, "--tile", "16x16", "--overlap", "8").out)["cost_per_image"]
    )

    convert = ("convert", stands_for["MODEL"], "--size", "16x16", "--calibration", pictures, "--json", "--out", "o.snn")
    exact, fewer = (json.loads(tool(*convert, *more).out)["sha256"] for more in ((), ("--levels", "15")))
    rate, longer = (
        json.loads(tool(*convert, "--preset", "if", *more).out)["sha256"] for more in ((), ("--steps", "8"))
    )
    assert len({exact, fewer, rate, longer}) == 4

    single, streamed = (
        json.loads(tool("estimate", net, "--rate", "0.5", "--json", *more).out)["energy"]
        for more in ((), ("--streamed",))
    )
    assert (single["timeline"]["streamed"], streamed["timeline"]["streamed"]) == (False, True)
    assert single["images_per_s"]["value"] < streamed["images_per_s"]["value"]
    assert single["latency_s"]["value"] < streamed["latency_s"]["value"]
    assert tool("estimate", net, "--rate", "0.5", "--map", tmp_path / "map.svg").status == 0
    assert ET.parse(tmp_path / "map.svg").getroot().tag.endswith("svg")
