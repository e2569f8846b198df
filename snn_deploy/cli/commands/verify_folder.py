"""``snn-deploy verify`` where ``--input`` names a folder: every image of it, on one or many workers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from snn_deploy.cli.clipping import record_clipping
from snn_deploy.data import images
from snn_deploy.display.console import progress, show, show_json
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.network.network import Network
from snn_deploy.verification import Level, Verdict
from snn_deploy.verification import record as verdict_record
from snn_deploy.verification.many import combine_exit_codes, verify_images
from snn_deploy.verification.stimuli import FolderImages


def execute(arguments: argparse.Namespace, network: Network, level: Level) -> int:
    """A verdict for each image; status 1 where any differs, else 2 where any was not compared."""
    folder = folder_images(arguments, network)
    with progress(f"verifying {len(folder.paths)} images") as report:
        verdicts = verify_images(
            network,
            folder,
            len(folder.paths),
            arguments.backends,
            level,
            scheduler=arguments.scheduler,
            workers=arguments.workers,
            progress=report,
        )
    named = [(path.name, verdict) for path, verdict in zip(folder.paths, verdicts, strict=True)]
    if arguments.json:
        records = [{"image": name, "verdict": verdict_record(verdict)} for name, verdict in named]
        clipped = record_clipping(arguments)
        show_json("verify-folder", {"exit_code": combine_exit_codes(verdicts), "images": records, "clipped": clipped})
    else:
        show(tabulate_verdicts(named, network.name))
        for name, verdict in named:
            if verdict.exit_code:
                show(f"{name}: {verdict.line}")
    return combine_exit_codes(verdicts)


def folder_images(arguments: argparse.Namespace, network: Network) -> FolderImages:
    """The images of the folder that ``--input`` names, with the crop and the noise of the command line."""
    paths = images.list_image_paths(arguments.input)
    channels, picture = network.input.shape[0], network.picture
    return FolderImages(paths, channels, arguments.crop, arguments.noise, arguments.seed, picture)


def tabulate_verdicts(named: Sequence[tuple[str, Verdict]], network: str) -> PlainTable:
    """One row per image."""
    first = named[0][1]
    table = PlainTable(title=f"{network}: {' x '.join(first.backends)}, level {first.asked.label}, {len(named)} images")
    for heading in ("image", "neurons", "values compared", "status"):
        table.add_column(heading, justify="right" if heading in ("neurons", "values compared") else "left")
    for name, verdict in named:
        seen = verdict.coverage
        table.add_row(name, f"{seen.neurons:,}", f"{seen.values:,}", verdict.status.value)
    return table
