#!/usr/bin/env python3
"""Runs the ONNX backend node tests through zkslice and writes docs/conformance.md; with --check compares the page, without proofs.

tests/conformance.txt lists every case of the package `onnx`, and why a case is left out. Each other one is compiled on its own input,
executed, held against its circuit, and compared with its output. Of each operator the smallest case that passes is proven and verified.
"""
import collections
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/conformance.txt"
PAGE = ROOT / "docs/conformance.md"
RUNNER = ROOT / "target/release/examples/cases"
SOURCE = pathlib.Path(onnx.__file__).parent / "backend/test/data/node"
# The error that compile allows, as a part of the largest magnitude of an output.
MOST_ERROR = 0.05
LEAST_PASSED = 0.95

# Inputs, by operator, that become the case's constants: what sets a shape, an axis, an index, a bound or a power, and a layer's weights.
CONSTANT_INPUTS = {
    "AffineGrid": [1], "BatchNormalization": [1, 2, 3, 4], "BitShift": [1], "CenterCropPad": [1], "Clip": [1, 2], "Col2Im": [1, 2],
    "Compress": [1], "ConstantOfShape": [0], "ConvTranspose": [1, 2], "CumSum": [1], "DeformConv": [1, 2, 3, 4],
    "Dropout": [1, 2], "Expand": [1], "GRU": [1, 2, 3, 4], "GridSample": [1],
    "LSTM": [1, 2, 3, 4, 7], "MaxUnpool": [1, 2], "OneHot": [1, 2], "Pad": [1, 2, 3], "Pow": [1], "RNN": [1, 2, 3, 4],
    "Range": [0, 1, 2], "ReduceL1": [1], "ReduceL2": [1], "ReduceLogSum": [1], "ReduceLogSumExp": [1], "ReduceMax": [1],
    "ReduceMean": [1], "ReduceMin": [1], "ReduceProd": [1], "ReduceSum": [1], "ReduceSumSquare": [1], "Reshape": [1],
    "Resize": [1, 2, 3], "ReverseSequence": [1], "RotaryEmbedding": [1, 2, 3], "Scatter": [1], "ScatterElements": [1],
    "ScatterND": [1], "Slice": [1, 2, 3, 4], "Split": [1], "Squeeze": [1], "TensorScatter": [2], "Tile": [1], "TopK": [1], "Trilu": [1],
    "Unsqueeze": [1], "Upsample": [1],
}


def frozen():
    """The committed list: for each case the reason why it is left out, or None."""
    cases = {}
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            cases[name] = reason or None
    there = {path.name for path in SOURCE.iterdir()}
    if there != set(cases):
        sys.exit(f"{LIST} is not the list of onnx {onnx.__version__}: {sorted(there ^ set(cases))[:8]}")
    return cases


def base(name):
    """The case of one operator beside that of its function, written out in others."""
    return SOURCE / name.partition("_expanded")[0]


def operator(name):
    """The operator that a case is about."""
    node = onnx.load(base(name) / "model.onnx").graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def tensor(path):
    proto = TensorProto()
    proto.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(proto)


def write(name, target):
    """Writes a case for the runner; gives its expected outputs."""
    case = SOURCE / name
    model = onnx.load(case / "model.onnx")
    graph, data = model.graph, case / "test_data_set_0"
    # A function that is written out has the inputs of its operator.
    nodes = [*graph.node, *onnx.load(base(name) / "model.onnx").graph.node]
    constants = {node.input[i] for node in nodes for i in CONSTANT_INPUTS.get(node.op_type, []) if i < len(node.input)}
    inputs, kept = [], []
    for position, value in enumerate(graph.input):
        array = tensor(data / f"input_{position}.pb")
        if value.name in constants:
            graph.initializer.append(numpy_helper.from_array(array, value.name))
        else:
            kept.append(onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, array.shape))
            inputs.append((array + 0).reshape(-1).tolist())
    outputs = [tensor(data / f"output_{position}.pb") for position in range(len(graph.output))]
    # The shape that the data has, where the model's is open.
    made = [onnx.helper.make_tensor_value_info(v.name, v.type.tensor_type.elem_type, a.shape) for v, a in zip(graph.output, outputs)]
    del graph.input[:], graph.output[:]
    graph.input.extend(kept)
    graph.output.extend(made)
    target.mkdir()
    (target / "model.onnx").write_bytes(model.SerializeToString())
    (target / "case.json").write_text(json.dumps({"samples": [inputs], "checks": [inputs]}))
    return outputs


def judge(result, expected):
    """`("passed", error)`, `("refused", reason)` or `("wrong", reason)`; the error of no real output is None."""
    if "fault" in result:
        return "wrong", result["fault"]
    if "refused" in result:
        return "refused", result["refused"]
    answer = result["answers"][0]
    if "refused" in answer:
        return "refused", answer["refused"]
    if result["shapes"] != [list(array.shape) for array in expected]:
        return "wrong", f"the outputs have the shapes {result['shapes']}"
    error = None
    for given, array in zip(answer["outputs"], expected):
        given, array = np.array(given), array.reshape(-1)
        if array.dtype.kind != "f":
            if (given != array).any():
                return "wrong", "an exact output differs"
            continue
        array = array.astype(np.float64)
        off, largest = np.abs(given - array).max(), np.abs(array).max()
        if not off <= MOST_ERROR * largest:
            return "wrong", f"an output is off by {off}, the largest number is {largest}"
        error = max(error or 0.0, off / largest if off else 0.0)
    return "passed", error


def run(*arguments):
    lines = subprocess.run([RUNNER, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {result["case"]: result for result in map(json.loads, lines)}


def short(reason):
    """A refusal in one cell of a table: its first clause, numbers to three digits."""
    first = re.split(r"; |\. ", reason.replace("|", "\\|"))[0]
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.3g}", " ".join(first.split()))


def page(cases, operators, verdicts, proven):
    passed = [name for name, (verdict, _) in verdicts.items() if verdict == "passed"]
    refused = {name: reason for name, (verdict, reason) in verdicts.items() if verdict == "refused"}
    errors = [verdicts[name][1] for name in passed if verdicts[name][1] is not None]
    lines = [
        "# Conformance",
        "",
        f"The node tests of onnx {onnx.__version__}, as `make conformance` finds them; CI compares this page. Each case is one operator, or",
        "the function that it stands for, written out in others. It is compiled on its own input, executed and held against its circuit,",
        f"and its outputs are compared with the case's: integers and truth values exactly, real numbers within {MOST_ERROR:.0%} of the output's",
        "largest magnitude, the error that `compile` allows. Inputs that set a shape, an axis, an index, a bound or a power, and a layer's weights,",
        "become constants; [script/conformance.py](../script/conformance.py) lists them. Of each operator the smallest case that passes is",
        "proven and verified.",
        "",
        f"**{len(passed)} of the {len(verdicts)} cases in scope pass ({len(passed) / len(verdicts):.1%}); the others are refused, none is wrong.** The median",
        f"error of the real outputs is {statistics.median(errors):.2%} of the largest magnitude, the largest error {max(errors):.2%}. {len(cases) - len(verdicts)} of all {len(cases)} cases are",
        "out of scope.",
        "",
        "| operator | in scope | passed | refused | proven |",
        "|---|---|---|---|---|",
    ]
    for each in sorted({operators[name] for name in verdicts}):
        own = [name for name in verdicts if operators[name] == each]
        count = sum(name in refused for name in own)
        lines.append(f"| {each} | {len(own)} | {len(own) - count} | {count} | {proven.get(each, '')} |")
    lines += ["", "## Refused", "", "| case | reason |", "|---|---|"]
    lines += [f"| {name} | {short(reason)} |" for name, reason in sorted(refused.items())]
    left = collections.defaultdict(list)
    for name, reason in cases.items():
        if reason:
            left[reason].append(name)
    lines += ["", "## Out of scope", "", "[tests/conformance.txt](../tests/conformance.txt) has the cases.", "", "| reason | cases | operators |", "|---|---|---|"]
    for reason, names in sorted(left.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {reason} | {len(names)} | {', '.join(sorted({operators[name] for name in names}))} |")
    return "\n".join(lines) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    cases = frozen()
    operators = {name: operator(name) for name in cases}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        expected = {name: write(name, folder / name) for name, reason in cases.items() if not reason}
        results = run("run", folder)
        verdicts = {name: judge(results[name], outputs) for name, outputs in expected.items()}
        smallest = {}
        for name in sorted(verdicts, key=lambda name: (results[name].get("constraints", 0), name)):
            if verdicts[name][0] == "passed":
                smallest.setdefault(operators[name], name)
        if not check:
            proofs = run("prove", folder, *smallest.values())
            verdicts |= {name: judge(result, expected[name]) for name, result in proofs.items()}
    wrong = [f"{name}: {reason}" for name, (verdict, reason) in verdicts.items() if verdict == "wrong"]
    passed = sum(verdict == "passed" for verdict, _ in verdicts.values())
    print(f"{passed} of {len(verdicts)} cases pass, {len(wrong)} are wrong, {len(cases) - len(verdicts)} are out of scope")
    if wrong:
        sys.exit("\n".join(wrong))
    text = page(cases, operators, verdicts, smallest)
    if not check:
        PAGE.write_text(text)
    elif text != PAGE.read_text():
        sys.exit(f"{PAGE.relative_to(ROOT)} is out of date: run `make conformance`")
    if passed < LEAST_PASSED * len(verdicts):
        sys.exit(f"fewer than {LEAST_PASSED:.0%} pass")


main()
