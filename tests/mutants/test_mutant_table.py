"""What ``make mutants`` reads names modules, tests and lines that exist."""

from collections import Counter
from pathlib import Path

from mutant_table import read_equivalents, read_table


def test_every_module_stands_once_and_its_tests_exist(root: Path) -> None:
    rows = read_table()
    assert max(Counter(row.path for row in rows).values()) == 1
    assert not [row.path for row in rows if not (root / row.path).is_file()]
    tests = {test.partition("::")[::2] for row in rows for test in (*row.tests, *row.more)}
    assert not [file for file, _ in tests if not (root / file).is_file()]
    assert not [
        name for file, name in tests if name and f"def {name}(" not in (root / file).read_text(encoding="utf-8")
    ]


def test_every_equivalent_mutant_is_of_a_line_that_is_still_there(root: Path) -> None:
    for known in read_equivalents():
        lines = (root / known.path).read_text(encoding="utf-8").splitlines()
        assert known.line in " ".join(line.strip() for line in lines if line.strip()), known
        assert known.line != known.mutant, known
        assert len(known.reason) > 20, known
