"""Prints the mutants that slither-mutate makes of a contract, as JSON: `script/mutants.py contracts/A.sol A`.

Its own test run cleans and builds everything before each mutant; script/mutate.mjs tests them in a tenth of the time.
"""

import json
import logging
import re
import sys
from pathlib import Path

from slither import Slither
from slither.core.solidity_types import ElementaryType
from slither.tools.mutator.__main__ import _get_mutators

# These look for Solidity's signs in a node's text or put some there. In Yul the text has none, on which they fail
# altogether ("list index out of range"), and no mutant compiles. script/mutate.mjs has mutators of its own for Yul.
SOLIDITY_ONLY = {"ASOR", "BOR", "LOR", "MWA", "ROR", "RR"}

# LIR replaces a literal by the bounds of its type, and fails altogether when there is a bool.
for bound, literal in (("min", "false"), ("max", "true")):
    of_number = getattr(ElementaryType, bound).fget
    of_any = lambda self, literal=literal, of_number=of_number: literal if self.name == "bool" else of_number(self)
    setattr(ElementaryType, bound, property(of_any))

logging.disable(logging.CRITICAL)
file, name = sys.argv[1:]
path = str(Path(file).resolve())


def assembly_spans(source: bytes) -> list[tuple[int, int]]:
    spans = []
    for match in re.finditer(rb"assembly [^{]*{", source):
        depth, end = 1, match.end()
        while depth:
            depth += {b"{": 1, b"}": -1}.get(source[end : end + 1], 0)
            end += 1
        spans.append((match.start(), end))
    return spans


SIGNS = ["==", "!=", "<=", ">=", "<", ">"]


def compared(comparison: str, statement: str, mutant: str) -> str:
    for sign in SIGNS:
        parts = statement.split(sign)
        for other in SIGNS:
            if len(parts) > 1 and mutant == f"{parts[0]}{other}{parts[1]}":
                return comparison.replace(sign, other, 1)
    raise ValueError(f"no comparison in {statement}")


slither = Slither(file)
contract = next(c for unit in slither.compilation_units for c in unit.contracts if c.name == name)
source = slither.source_code[path].encode("utf8")
spans = assembly_spans(source)
mutants = []
for mutator in _get_mutators(None):
    made = mutator(contract.compilation_unit, 0, "", None, contract, None, False, Path(), [])
    if mutator.NAME in SOLIDITY_ONLY:
        in_file = made.should_mutate_node
        made.should_mutate_node = lambda node, in_file=in_file: in_file(node) and not any(
            start <= node.source_mapping.start < end for start, end in spans
        )
    for patch in made._mutate().get("patches", {}).get(path, []):
        text = patch["new_string"]
        if mutator.NAME == "FHR":  # It puts the whole function in the place of its header.
            text = text[: text.find("{")]
        if mutator.NAME == "ROR":  # It puts the whole statement in the place of its comparison.
            text = compared(source[patch["start"] : patch["end"]].decode("utf8"), patch["old_string"], text)
        mutants.append([mutator.NAME, patch["start"], patch["end"], text])
json.dump(mutants, sys.stdout)
