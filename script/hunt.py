#!/usr/bin/env python3
"""Random models against ONNX Runtime: script/hunt.py <seed> <models>.

A model has one to eight operators of the importer's registry, with awkward shapes, attributes, operator sets and constants. It is
compiled on a few samples. On these, at their edges and between them its outputs are then right within the error that compile allows,
or it is refused with a reason. What is neither is shrunk and left in target/hunt.
"""
import collections
import copy
import json
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNNER = ROOT / "target/release/examples/cases"
FOUND = ROOT / "target/hunt"
OPSETS = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
LEARNED, LEARNED_OPSET = "ai.onnx.ml", 3
SAMPLES, FRESH = 6, 10
# The error that compile allows, as a part of the largest magnitude of an output.
MOST_ERROR = 0.05
# Where a model jumps or is steep, an answer is right that the model has for an input so near, or with tensors inside it so little off,
# as a part of the largest magnitude: half a digit's unit, where digits are coarsest.
NEAR, NEIGHBOURS = 0.01, 24
# Outputs smaller than this may be what rounding in ONNX Runtime leaves of larger numbers.
LEAST_RANGE = 1e-5
# Fewer answers than this share of models would show little.
LEAST_ANSWERED = 0.5
MOST_ELEMENTS, MOST_MAGNITUDE, MOST_INTEGER, MOST_INPUTS = 160, 1e4, 2.0**40, 4

onnxruntime.set_default_logger_severity(4)
F, I, B = np.dtype(np.float32), np.dtype(np.int64), np.dtype(bool)
INTEGERS = [np.dtype(t) for t in (np.int64, np.int32)]
ANY_INTEGERS = INTEGERS + [np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.uint64)]


class Skip(Exception):
    """What was drawn cannot be: the next draw may."""


class Model:
    """A model with the value of each of its tensors on each sample."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.opset = self.any(OPSETS)
        self.nodes, self.constants, self.inputs, self.values = [], {}, {}, {}

    # Draws.
    def any(self, options):
        return options[int(self.rng.integers(len(options)))]

    def whole(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def chance(self, share):
        return bool(self.rng.random() < share)

    def shape(self, least=0, most=4, size=4):
        return tuple(self.whole(1, size) for _ in range(self.whole(least, most)))

    def under(self, shape):
        """A shape that broadcasts to `shape`."""
        shape = tuple(1 if self.chance(0.3) else size for size in shape)
        return shape[self.whole(0, len(shape)) if self.chance(0.4) else 0 :]

    def axis(self, rank, negative=True):
        return self.whole(-rank if negative else 0, rank - 1)

    def attributes(self, **options):
        """Some of these attributes."""
        return {name: value for name, value in options.items() if self.chance(0.6)}

    def numbers(self, shape, low, high, kind=F):
        if kind == B:
            return np.asarray(self.rng.random(shape) < 0.5)
        if kind != F:
            return np.asarray(self.rng.integers(int(low), int(high) + 1, shape), kind)
        drawn = self.rng.uniform(low, high, shape)
        # On a grid too, where ties and whole numbers are.
        return np.asarray(np.clip(np.round(drawn * 4) / 4, low, high) if self.chance(0.4) else drawn, F)

    # Tensors.
    def name(self, letter):
        return f"{letter}{len(self.values)}"

    def constant(self, array):
        name = self.name("c")
        self.constants[name] = np.asarray(array)
        self.values[name] = [self.constants[name]] * SAMPLES
        return name

    def input(self, shape, low=None, high=None, kind=F):
        if low is None:
            reals = [(-1, 1), (-3, 3), (0, 1), (0.25, 4), (-0.01, 0.01), (-50, 50), (9, 11)]
            # Sums and products of some integers leave their type.
            low, high = self.any(reals if kind == F else [*[(-9, 9)] * 4, (-(10**5), 10**5), (-(2**31), 2**31 - 1)])
        if len(self.inputs) >= MOST_INPUTS or (self.inputs and self.chance(0.15)):
            return self.constant(self.numbers(shape, low, high, kind))
        name = self.name("x")
        self.inputs[name] = [self.numbers(shape, low, high, kind) for _ in range(SAMPLES)]
        self.values[name] = self.inputs[name]
        return name

    def tensor(self, shape=None, rank=(0, 4), low=None, high=None, kind=F, size=4, fits=lambda shape: True):
        """A tensor that there is, or a new input, of a kind, of a shape or rank, within bounds on the samples."""

        def suits(name):
            array = self.values[name][0]
            if array.dtype != kind or not (array.shape == shape if shape is not None else rank[0] <= array.ndim <= rank[1]):
                return False
            inside = low is None or all(low <= a.min() and a.max() <= high for a in self.values[name])
            return inside and fits(array.shape) and name not in self.constants

        found = [name for name in self.values if suits(name)]
        if found and self.chance(0.8):
            return found[-1] if self.chance(0.6) else self.any(found)
        drawn = shape
        while drawn is None or not fits(drawn):
            drawn = self.shape(*rank, size)
        return self.input(drawn, low, high, kind)

    def operand(self, shape, constant=0.3, **options):
        """A tensor of a shape, or a constant."""
        if self.chance(constant):
            low, high = options.get("low"), options.get("high")
            kind = options.get("kind", F)
            bounds = (low, high) if low is not None else self.any([(-2, 2), (0.5, 1.5), (0, 0), (-1e-3, 1e-3)]) if kind == F else (-5, 5)
            return self.constant(self.numbers(shape, *bounds, kind))
        return self.tensor(shape, **options)

    def of(self, name):
        return self.values[name][0].shape

    def longs(self, numbers):
        return self.constant(np.array(numbers, I))

    def node(self, operator, inputs, outputs=1, captured=(), **attributes):
        """Adds a node and computes it on the samples; gives its outputs' names."""
        attributes = {name: value for name, value in attributes.items() if value is not None}
        inputs = ["" if name is None else name for name in inputs]
        while inputs and not inputs[-1]:
            inputs.pop()
        names = [f"y{len(self.values)}_{index}" for index in range(outputs)]
        domain, _, operator = operator.rpartition(".")
        node = helper.make_node(operator, inputs, names, name=f"n{len(self.nodes)}", domain=domain, **attributes)
        read = [name for name in dict.fromkeys([*inputs, *captured]) if name]
        session = start([node], {name: self.values[name][0] for name in read}, names, {}, self.opset)
        feeds = [{name: self.values[name][s] for name in read} for s in range(SAMPLES)]
        results = [[np.asarray(array) for array in session.run(names, feed)] for feed in feeds]
        for arrays in zip(*results):
            if arrays[0].size == 0 or arrays[0].size > MOST_ELEMENTS or arrays[0].ndim > 6 or not all(fine(a) for a in arrays):
                raise Skip
        self.nodes.append(node)
        for index, name in enumerate(names):
            self.values[name] = [arrays[index] for arrays in results]
        return names

    def grow(self, operator):
        """Adds an operator as it is drawn, or leaves the model as it was."""
        if not helper_has(operator, self.opset):
            return False
        before = [list(self.nodes), dict(self.constants), dict(self.inputs), dict(self.values)]
        try:
            DRAWS[operator](self, operator)
            return True
        except (Skip, ValueError, IndexError, onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException):
            pass
        except Exception as error:  # noqa: BLE001 - ONNX Runtime refuses with exceptions of its own
            if "onnxruntime" not in type(error).__module__:
                raise
        self.nodes, self.constants, self.inputs, self.values = before
        return False


def helper_has(operator, opset):
    domain, _, operator = operator.rpartition(".")
    try:
        onnx.defs.get_schema(operator, LEARNED_OPSET if domain else opset, domain)
        return True
    except onnx.defs.SchemaError:
        return False


def fine(array):
    most = MOST_MAGNITUDE if array.dtype.kind == "f" else MOST_INTEGER
    return array.dtype == B or bool(np.isfinite(array).all() and np.abs(array.astype(np.float64)).max() <= most)


def info(name, array):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def proto(nodes, inputs, outputs, constants, opset):
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "hunt", [info(*item) for item in inputs.items()], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(LEARNED, LEARNED_OPSET)], ir_version=8)


def start(nodes, inputs, outputs, constants, opset):
    model = proto(nodes, inputs, [helper.make_empty_tensor_value_info(name) for name in outputs], constants, opset)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# How each operator is drawn.
DRAWS = {}


def draws(*names):
    def keep(function):
        DRAWS.update({name: function for name in names})
        return function

    return keep


DOMAINS = {
    "Acos": (-0.95, 0.95), "Acosh": (1.1, 4), "Asin": (-0.95, 0.95), "Atanh": (-0.9, 0.9), "Cosh": (-3, 3), "Exp": (-4, 4),
    "Log": (0.1, 12), "Reciprocal": (0.2, 4), "Sinh": (-3, 3), "Sqrt": (0, 9), "Tan": (-1, 1),
}  # fmt: skip


@draws(*"Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor HardSwish Identity IsInf IsNaN Log Mish Neg Reciprocal Relu".split())
@draws(*"Round Sigmoid Sin Sinh Softplus Softsign Sqrt Tan Tanh GlobalAveragePool GlobalMaxPool Dropout".split())
def unary(m, operator):
    low, high = DOMAINS.get(operator, (None, None))
    m.node(operator, [m.tensor(low=low, high=high, rank=(3, 4) if operator.startswith("Global") else (0, 4))])


@draws("Abs", "Sign")
def unary_any(m, operator):
    m.node(operator, [m.tensor(kind=m.any([F, *INTEGERS]))])


@draws("Celu", "Elu", "HardSigmoid", "LeakyRelu", "Selu", "Shrink", "Swish", "ThresholdedRelu", "Gelu", "GlobalLpPool")
def unary_with(m, operator):
    options = {
        "Celu": {"alpha": m.any([0.5, 1.0, 2.0])},
        "Elu": {"alpha": m.any([0.1, 0.5, 1.5, -0.3])},
        "HardSigmoid": {"alpha": 0.3, "beta": m.any([0.1, 0.5])},
        "LeakyRelu": {"alpha": m.any([0.1, 1.5, -0.3, 0.0])},
        "Selu": {"alpha": 1.2, "gamma": 0.7},
        "Shrink": {"lambd": m.any([0.5, 1.0]), "bias": m.any([0.0, 0.5])},
        "Swish": {"alpha": m.any([0.5, 2.0])},
        "ThresholdedRelu": {"alpha": m.any([0.5, 2.0])},
        "Gelu": {"approximate": m.any(["none", "tanh"])},
        "GlobalLpPool": {"p": m.whole(1, 3)},
    }
    m.node(operator, [m.tensor(rank=(3, 4) if operator == "GlobalLpPool" else (0, 4))], **m.attributes(**options[operator]))


@draws("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean")
def elementwise(m, operator):
    exact = operator not in ("Sum", "Mean") and m.opset >= 14 and m.chance(0.3)
    kind = m.any(INTEGERS) if exact else F
    first = m.tensor(kind=kind)
    several = m.whole(1, 3) if operator in ("Max", "Min", "Sum", "Mean") and m.opset >= 8 else 1
    operands = [first] + [m.operand(m.under(m.of(first)), kind=kind) for _ in range(several)]
    m.rng.shuffle(operands)
    m.node(operator, operands)


@draws("Div", "Mod")
def quotient(m, operator):
    exact = m.chance(0.4) and m.opset >= 10 or operator == "Mod" and m.opset < 13
    kind = m.any(ANY_INTEGERS if operator == "Mod" else INTEGERS) if exact else F
    first = m.input(m.shape(), 0, 60, kind) if kind not in (F, *INTEGERS) else m.tensor(kind=kind)
    shape = m.under(m.of(first))
    # An integer divisor is never computed: ONNX Runtime stops where it is 0.
    low, high = (1, 9) if kind != F else (0.3, 3)
    sign = -1 if m.chance(0.3) and kind.kind != "u" else 1
    bounds = (low, high) if sign > 0 else (-high, -low)
    second = m.constant(m.numbers(shape, *bounds, kind)) if m.chance(0.5) else m.input(shape, *bounds, kind)
    fmod = 1 if kind == F else m.any([None, 0, 1])
    m.node(operator, [first, second], **({"fmod": fmod} if operator == "Mod" else {}))


@draws("Pow")
def power(m, operator):
    if m.chance(0.5):
        exponent = m.any([0.0, 1.0, 2.0, 3.0, 0.5, -1.0, 1.7])
        whole = exponent >= 0 and exponent == int(exponent)
        base = m.tensor() if whole else m.tensor(low=0.3, high=4)
        return m.node(operator, [base, m.constant(np.full(m.any([(), (1,)]), exponent, F))])
    if m.chance(0.3):
        first = m.tensor()
        return m.node(operator, [first, m.constant(np.floor(m.numbers(m.under(m.of(first)), 0, 3.9)))])
    first = m.tensor(low=0.3, high=4)
    if m.chance(0.5):
        return m.node(operator, [first, m.constant(m.numbers(m.under(m.of(first)), -2, 2))])
    base = m.constant(m.numbers(m.under(m.of(first)), 0.5, 3))
    m.node(operator, [base, first])


@draws("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def comparison(m, operator):
    kind = m.any(INTEGERS) if m.opset < (11 if operator == "Equal" else 9) else m.any([F, *INTEGERS])
    first = m.tensor(kind=kind)
    operands = [first, m.operand(m.under(m.of(first)), kind=kind)]
    m.rng.shuffle(operands)
    m.node(operator, operands)


@draws("And", "Or", "Xor", "Not")
def logic(m, operator):
    first = m.tensor(kind=B)
    m.node(operator, [first] if operator == "Not" else [first, m.operand(m.under(m.of(first)), kind=B)])


@draws("Where")
def where(m, operator):
    kind = m.any([F, F, I])
    first = m.tensor(kind=kind)
    shape = m.of(first)
    branches = [first, m.operand(m.under(shape), kind=kind)]
    m.rng.shuffle(branches)
    m.node(operator, [m.operand(m.under(shape), kind=B), *branches])


@draws("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor")
def bits(m, operator):
    kind = m.any([np.dtype(t) for t in (np.uint8, np.uint32, np.uint64)] if operator == "BitShift" else ANY_INTEGERS)
    low = 0 if kind.kind == "u" or m.chance(0.5) else -100
    first = m.input(m.shape(), low, 100, kind)
    if operator == "BitShift":
        second = m.constant(m.numbers(m.under(m.of(first)), 0, 4, kind))
        return m.node(operator, [first, second], direction=m.any(["LEFT", "RIGHT"]))
    second = m.constant(m.numbers(m.under(m.of(first)), low, 100, kind)) if m.chance(0.5) else m.input(m.of(first), low, 100, kind)
    m.node(operator, [first] if operator == "BitwiseNot" else [first, second])


@draws("Cast", "CastLike")
def cast(m, operator):
    source = m.tensor(kind=m.any([F, F, B, *INTEGERS]))
    target = m.any([np.float32, np.float64, np.float16, np.int64, np.int32, np.int8, bool])
    if operator == "Cast":
        return m.node(operator, [source], to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))
    m.node(operator, [source, m.constant(np.zeros(m.any([(), (1,), (2,)]), target))])


@draws("Clip")
def clip(m, operator):
    if m.opset < 11:
        return m.node(operator, [m.tensor()], **m.attributes(min=m.any([-1.0, 0.0, 0.4]), max=m.any([0.5, 2.0])))
    kind = F if m.opset < 12 else m.any([F, F, I])
    bound = lambda options: m.constant(np.array(m.any(options), kind)) if m.chance(0.7) else None  # noqa: E731
    m.node(operator, [m.tensor(kind=kind), bound([-2, 0, -1]), bound([0.5, 1, 3])])


@draws("PRelu")
def prelu(m, operator):
    first = m.tensor(rank=(1, 4))
    m.node(operator, [first, m.operand(m.under(m.of(first)), constant=0.6)])


@draws(*"ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare".split())
def reduction(m, operator):
    bounds = {"ReduceLogSum": (0.1, 5), "ReduceLogSumExp": (-4, 4), "ReduceProd": (-2, 2)}.get(operator, (None, None))
    kind = m.any(INTEGERS) if operator in ("ReduceSum", "ReduceMax", "ReduceMin") and m.chance(0.3) else F
    data = m.tensor(kind=kind, low=bounds[0], high=bounds[1]) if kind == F else m.tensor(kind=kind)
    rank = len(m.of(data))
    axes = None
    if rank and m.chance(0.7):
        axes = [int(a) - (rank if m.opset >= 11 and m.chance(0.4) else 0) for a in m.rng.permutation(rank)[: m.whole(1, rank)]]
    options = m.attributes(keepdims=m.whole(0, 1))
    if m.opset < (13 if operator == "ReduceSum" else 18):
        return m.node(operator, [data], axes=axes, **options)
    options |= m.attributes(noop_with_empty_axes=m.whole(0, 1))
    m.node(operator, [data, None if axes is None else m.longs(axes)], **options)


@draws("ArgMax", "ArgMin", "Hardmax", "Softmax", "LogSoftmax", "CumSum", "LpNormalization")
def along(m, operator):
    data = m.tensor(rank=(1, 4), size=6)
    rank = len(m.of(data))
    axis = m.axis(rank, m.opset >= 11)
    if operator == "CumSum":
        return m.node(operator, [data, m.constant(np.array(axis, I))], **m.attributes(exclusive=m.whole(0, 1), reverse=m.whole(0, 1)))
    options = m.attributes(axis=axis)
    if operator.startswith("Arg"):
        options |= m.attributes(keepdims=m.whole(0, 1))
        options |= m.attributes(select_last_index=m.whole(0, 1)) if m.opset >= 12 else {}
    if operator == "LpNormalization":
        options |= m.attributes(p=m.whole(1, 2))
    m.node(operator, [data], **options)


@draws("TopK")
def top(m, operator):
    kind = m.any([F, F, I]) if m.opset >= 11 else F
    data = m.tensor(rank=(1, 3), size=6, kind=kind)
    shape = m.of(data)
    axis = m.axis(len(shape), m.opset >= 11)
    count = m.whole(1, shape[axis])
    options = m.attributes(largest=m.whole(0, 1)) if m.opset >= 11 else {}
    if m.opset < 10:
        return m.node(operator, [data], 2, axis=axis, k=count)
    m.node(operator, [data, m.longs([count])], 2, axis=axis, **options)


@draws("MatMul")
def matmul(m, operator):
    first = m.tensor(rank=(1, 4))
    *batch, inner = m.of(first)
    shape = (inner,) if m.chance(0.2) else (*m.under(tuple(batch[:-1])), inner, m.whole(1, 4))
    m.node(operator, [first, m.operand(shape, constant=0.6)])


@draws("Gemm")
def gemm(m, operator):
    first = m.tensor(rank=(2, 2))
    turned = m.whole(0, 1), m.whole(0, 1)
    rows, inner = m.of(first)[:: -1 if turned[0] else 1]
    columns = m.whole(1, 4)
    second = m.operand((columns, inner) if turned[1] else (inner, columns), constant=0.6)
    third = m.operand(m.under((rows, columns)), constant=0.6) if m.opset < 11 or m.chance(0.6) else None
    options = m.attributes(alpha=m.any([0.5, -2.0]), beta=m.any([0.25, 3.0]))
    m.node(operator, [first, second, third], transA=turned[0], transB=turned[1], **options)


@draws("Einsum")
def einsum(m, operator):
    equations = "ij,jk->ik ij,kj->ik i,j->ij ij->ji ij-> ij,ij->i ...ij,...jk->...ik ii->i ij,j bij,bjk->bik i...->...i ij,jk,kl->il iij,jk->ik"
    equation = m.any(equations.split())
    sizes = {letter: m.whole(1, 4) for letter in "ijklb"}
    batch = list(m.shape(0, 2, 3))
    operands = []
    for term in equation.split("->")[0].split(","):
        shape = [n for letter in term.replace("...", ".") for n in (batch if letter == "." else [sizes[letter]])]
        operands.append(m.tensor(tuple(shape)) if not operands else m.operand(tuple(shape), constant=0.5))
    m.node(operator, operands, equation=equation)


def window(m, operator, spatial):
    """Attributes of a window over axes of these sizes."""
    kernel = [m.whole(1, min(3, size)) for size in spatial]
    options = {"kernel_shape": kernel}
    options |= m.attributes(strides=[m.whole(1, 2) for _ in kernel])
    dilated = operator in ("Conv", "ConvTranspose") or m.opset >= {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[operator]
    if dilated and m.chance(0.4):
        options["dilations"] = [m.whole(1, 2) for _ in kernel]
    if m.chance(0.25):
        options["auto_pad"] = m.any(["SAME_UPPER", "SAME_LOWER", "VALID"])
    elif m.chance(0.6):
        options["pads"] = [m.whole(0, size - 1) for size in kernel + kernel]
    if operator.endswith("Pool") and m.opset >= (18 if operator == "LpPool" else 10) and m.chance(0.4):
        options["ceil_mode"] = 1
    return options


@draws("AveragePool", "MaxPool", "LpPool")
def pool(m, operator):
    data = m.tensor(rank=(3, 4), size=5, fits=lambda shape: len(shape) >= 3)
    options = window(m, operator, m.of(data)[2:])
    if operator == "AveragePool":
        options |= m.attributes(count_include_pad=m.whole(0, 1))
    if operator == "LpPool":
        options |= m.attributes(p=m.whole(1, 3))
    outputs = m.whole(1, 2) if operator == "MaxPool" and m.opset >= 8 and "dilations" not in options else 1
    m.node(operator, [data], outputs, **options)


@draws("Conv", "ConvTranspose")
def convolution(m, operator):
    data = m.tensor(rank=(3, 4), size=5)
    _, channels, *spatial = m.of(data)
    group = channels if m.chance(0.3) else 1
    options = window(m, operator, spatial)
    made = m.whole(1, 2)
    first = (group * made, channels // group) if operator == "Conv" else (channels, made)
    weights = m.operand((*first, *options["kernel_shape"]), constant=0.8 if operator == "Conv" else 1)
    bias = m.constant(m.numbers((group * made,), -1, 1)) if m.chance(0.5) else None
    if operator == "ConvTranspose":
        options |= m.attributes(output_padding=[0] * len(spatial))
    m.node(operator, [data, weights, bias], group=group, **options)


@draws("MaxUnpool")
def unpool(m, operator):
    data = m.tensor((1, m.whole(1, 2), 2, 2))
    channels = m.of(data)[1]
    indices = m.rng.permutation(channels * 16)[: channels * 4].reshape(1, channels, 2, 2)
    m.node(operator, [data, m.longs(indices)], kernel_shape=[2, 2], strides=[2, 2])


@draws("Resize", "Upsample")
def resize(m, operator):
    data = m.tensor(rank=(4, 4), size=4)
    shape = m.of(data)
    mode = m.any(["nearest", "linear"] + (["cubic"] if operator == "Resize" and m.opset >= 11 else []))
    scales = np.array([1, 1, m.any([0.5, 1, 1.5, 2, 3]), m.any([1, 2, 0.7])], F)
    if operator == "Upsample":
        scales = np.maximum(scales, 1)
        return m.node(operator, [data, m.constant(scales)] if m.opset >= 9 else [data], mode=mode, scales=scales.tolist() if m.opset < 9 else None)
    if m.opset < 11:
        return m.node(operator, [data, m.constant(scales)], mode=mode)
    options = {"coordinate_transformation_mode": m.any(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]), "mode": mode}
    if mode == "nearest":
        options["nearest_mode"] = m.any(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if mode == "cubic":
        options |= m.attributes(cubic_coeff_a=-0.5, exclude_outside=m.whole(0, 1))
    empty = m.constant(np.zeros(0, F)) if m.opset < 13 else None
    if m.chance(0.5):
        return m.node(operator, [data, empty, m.constant(scales)], **options)
    m.node(operator, [data, empty, empty, m.longs([*shape[:2], m.whole(1, 7), m.whole(1, 7)])], **options)


@draws("GridSample")
def grid_sample(m, operator):
    data = m.tensor(rank=(4, 4), size=4)
    grid = m.constant(m.numbers((m.of(data)[0], m.whole(1, 3), m.whole(1, 3), 2), -1.4, 1.4))
    modes = ["bilinear", "nearest", "bicubic"] if m.opset < 20 else ["linear", "nearest", "cubic"]
    options = m.attributes(align_corners=m.whole(0, 1), padding_mode=m.any(["zeros", "border", "reflection"]))
    m.node(operator, [data, grid], mode=m.any(modes), **options)


@draws("AffineGrid")
def affine_grid(m, operator):
    data = m.tensor((m.whole(1, 2), 2, 3))
    m.node(operator, [data, m.longs([m.of(data)[0], 1, m.whole(1, 3), m.whole(2, 4)])], **m.attributes(align_corners=m.whole(0, 1)))


@draws("BatchNormalization", "InstanceNormalization", "GroupNormalization")
def channel_norm(m, operator):
    data = m.tensor(rank=(2, 4) if operator.startswith("Batch") else (3, 4))
    channels = m.of(data)[1]
    groups = m.any([n for n in range(1, channels + 1) if channels % n == 0])
    count = groups if operator.startswith("Group") and m.opset < 21 else channels
    some = lambda low, high: m.constant(m.numbers((count,), low, high))  # noqa: E731
    options = m.attributes(epsilon=m.any([1e-5, 1e-2]))
    if operator.startswith("Batch"):
        return m.node(operator, [data, some(-2, 2), some(-1, 1), some(-1, 1), some(0.1, 3)], **options)
    m.node(operator, [data, some(-2, 2), some(-1, 1)], **options, **({"num_groups": groups} if operator.startswith("Group") else {}))


@draws("LayerNormalization", "RMSNormalization")
def layer_norm(m, operator):
    data = m.tensor(rank=(1, 4), fits=lambda shape: len(shape) > 0 and shape[-1] > 1)
    shape = m.of(data)
    axis = m.axis(len(shape))
    weights = [m.constant(m.numbers(shape[axis:], -2, 2)) for _ in range(m.whole(1, 2) if operator[0] == "L" else 1)]
    m.node(operator, [data, *weights], axis=axis, **m.attributes(epsilon=m.any([1e-5, 0.1])))


@draws("LRN", "MeanVarianceNormalization")
def other_norm(m, operator):
    data = m.tensor(rank=(4, 4))
    if operator == "LRN":
        return m.node(operator, [data], size=m.any([1, 3, 5]), **m.attributes(alpha=0.3, beta=0.6, bias=1.5))
    m.node(operator, [data], **m.attributes(axes=m.any([[0, 2, 3], [1, 2, 3], [0, 1, 2, 3]])))


@draws("RNN", "GRU", "LSTM")
def recurrent(m, operator):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    direction = m.any(["forward", "reverse", "bidirectional"])
    ways = 2 if direction == "bidirectional" else 1
    data = m.tensor(rank=(3, 3), size=3)
    steps, batch, width = m.of(data)
    hidden = m.whole(1, 3)
    some = lambda *shape: m.constant(m.numbers(shape, -1, 1))  # noqa: E731
    inputs = [data, some(ways, gates * hidden, width), some(ways, gates * hidden, hidden)]
    inputs.append(some(ways, 2 * gates * hidden) if m.chance(0.6) else None)
    inputs.append(m.constant(m.numbers((batch,), 1, steps, np.dtype(np.int32))) if m.chance(0.4) else None)
    inputs.append(m.operand((ways, batch, hidden), constant=0.5) if m.chance(0.5) else None)
    if operator == "LSTM":
        inputs.append(m.operand((ways, batch, hidden), constant=0.5) if m.chance(0.5) else None)
        inputs.append(some(ways, 3 * hidden) if m.chance(0.3) else None)
    options = {"hidden_size": hidden, "direction": direction}
    options |= {"linear_before_reset": m.whole(0, 1)} if operator == "GRU" else {}
    options |= {"clip": m.any([0.4, 1.0])} if m.chance(0.2) else {}
    m.node(operator, inputs, 3 if operator == "LSTM" else 2, **options)


@draws("Attention")
def attention(m, operator):
    batch, heads, queries, keys, width = m.whole(1, 2), m.whole(1, 2), m.whole(1, 3), m.whole(1, 3), m.whole(1, 3)
    query = m.tensor((batch, heads, queries, width))
    key, value = (m.operand((batch, heads, keys, width)) for _ in range(2))
    mask = m.constant(m.rng.random((queries, keys)) < 0.7) if m.chance(0.4) else None
    m.node(operator, [query, key, value, mask], **m.attributes(scale=m.any([0.3, 1.0]), is_causal=m.whole(0, 1)))


@draws("RotaryEmbedding")
def rotary(m, operator):
    batch, heads, steps, half = m.whole(1, 2), m.whole(1, 2), m.whole(1, 3), m.whole(1, 2)
    data = m.tensor((batch, heads, steps, 2 * half))
    caches = [m.constant(m.numbers((batch, steps, half), -1, 1)) for _ in range(2)]
    m.node(operator, [data, *caches], **m.attributes(interleaved=m.whole(0, 1)))


@draws("Concat")
def concat(m, operator):
    first = m.tensor(rank=(1, 4))
    shape = list(m.of(first))
    axis = m.axis(len(shape), m.opset >= 11)
    parts = [first]
    for _ in range(m.whole(0, 2)):
        shape[axis] = m.whole(1, 3)
        parts.append(m.operand(tuple(shape)))
    m.node(operator, parts, axis=axis)


@draws("Split")
def split(m, operator):
    data = m.tensor(rank=(1, 4), size=6)
    shape = m.of(data)
    axis = m.axis(len(shape), m.opset >= 11)
    cuts = sorted(m.rng.permutation(max(shape[axis] - 1, 0))[: m.whole(0, 2)] + 1)
    parts = [int(b - a) for a, b in zip([0, *cuts], [*cuts, shape[axis]])]
    if m.opset < 13:
        return m.node(operator, [data], len(parts), axis=axis, split=parts)
    if m.opset >= 18 and m.chance(0.4):
        return m.node(operator, [data], m.whole(1, shape[axis]), axis=axis, num_outputs=None) if shape[axis] == 1 else m.node(
            operator, [data], 2, axis=axis, num_outputs=2
        )
    m.node(operator, [data, m.longs(parts)], len(parts), axis=axis)


@draws("Slice")
def slices(m, operator):
    data = m.tensor(rank=(1, 4), size=6)
    rank = len(m.of(data))
    axes = [int(a) for a in m.rng.permutation(rank)[: m.whole(1, rank)]]
    starts, ends = [m.whole(-7, 7) for _ in axes], [m.any([m.whole(-7, 7), 2**62, -(2**62)]) for _ in axes]
    if m.opset < 10:
        return m.node(operator, [data], starts=starts, ends=ends, axes=axes)
    axes = [a - (rank if m.opset >= 11 and m.chance(0.4) else 0) for a in axes]
    steps = m.longs([m.any([1, 1, 2, -1, -2]) for _ in axes]) if m.chance(0.6) else None
    m.node(operator, [data, m.longs(starts), m.longs(ends), m.longs(axes), steps])


@draws("Pad")
def pad(m, operator):
    data = m.tensor(rank=(1, 4))
    shape = m.of(data)
    mode = m.any(["constant", "reflect", "edge"] + (["wrap"] if m.opset >= 19 else []))
    pads = [m.whole(-1, 2) for _ in shape + shape]
    if mode == "reflect":
        pads = [min(amount, size - 1) for amount, size in zip(pads, shape + shape)]
    if m.opset < 11:
        return m.node(operator, [data], pads=pads, mode=mode, **m.attributes(value=1.5))
    m.node(operator, [data, m.longs(pads), m.constant(np.array(2.5, F)) if m.chance(0.5) and mode == "constant" else None], mode=mode)


@draws("Gather", "GatherElements", "GatherND")
def gather(m, operator):
    data = m.tensor(rank=(1, 4), kind=m.any([F, F, I]))
    shape = m.of(data)
    axis = m.axis(len(shape), m.opset >= 11)
    low = -1 if m.opset >= 11 else 0
    if operator == "GatherND":
        depth = m.whole(1, len(shape))
        indices = np.stack([m.numbers((2,), low * n, n - 1, I) for n in shape[:depth]], -1)
        return m.node(operator, [data, m.constant(indices)])
    size = shape[axis]
    picked = m.shape(0, 2, 3) if operator == "Gather" else tuple(m.whole(1, n) for n in shape)
    kind = m.any(INTEGERS)
    indices = m.numbers(picked, low * size, size - 1, kind)
    m.node(operator, [data, m.constant(indices) if m.chance(0.6) else m.input(picked, 0, size - 1, kind)], axis=axis)


@draws("Scatter", "ScatterElements", "ScatterND")
def scatter(m, operator):
    data = m.tensor(rank=(1, 4))
    shape = m.of(data)
    reductions = [None] + (["add", "mul"] if m.opset >= 16 else []) + (["max", "min"] if m.opset >= 18 else [])
    reduction = m.any(reductions) if operator != "Scatter" else None
    computed = m.chance(0.3) and reduction in (None, "add")
    if operator == "ScatterND":
        rows = m.rng.permutation(shape[0])[: m.whole(1, shape[0])]
        at = m.input((len(rows), 1), 0, shape[0] - 1, I) if computed else m.longs(rows[:, None])
        return m.node(operator, [data, at, m.operand((len(rows), *shape[1:]))], reduction=reduction)
    axis = m.axis(len(shape), m.opset >= 11)
    picked = [m.whole(1, n) for n in shape]
    order = list(picked)
    order[axis] = shape[axis]
    # Each place at most once.
    indices = np.argsort(m.rng.random(order), axis=axis).take(range(picked[axis]), axis=axis)
    at = m.input(indices.shape, 0, shape[axis] - 1, I) if computed else m.longs(indices)
    m.node(operator, [data, at, m.operand(tuple(picked))], axis=axis, reduction=reduction)


@draws("TensorScatter")
def tensor_scatter(m, operator):
    cache = m.tensor(rank=(3, 4))
    shape = list(m.of(cache))
    axis = m.whole(1, len(shape) - 1)
    length = shape[axis]
    shape[axis] = m.whole(1, length)
    mode = m.any(["linear", "circular"])
    places = m.numbers((shape[0],), 0, length - (shape[axis] if mode == "linear" else 1), I)
    m.node(operator, [cache, m.operand(tuple(shape)), m.constant(places)], axis=axis - len(shape) if m.chance(0.5) else axis, mode=mode)


@draws("OneHot")
def one_hot(m, operator):
    depth = m.whole(1, 5)
    indices = m.tensor(low=-depth, high=depth - 1, kind=I, rank=(0, 2))
    axis = m.whole(-len(m.of(indices)) - 1, len(m.of(indices)))
    m.node(operator, [indices, m.constant(np.array(depth, I)), m.constant(m.numbers((2,), -2, 5))], axis=axis)


@draws("Transpose", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Tile")
def move(m, operator):
    data = m.tensor(kind=m.any([F, F, F, I, B]))
    shape = m.of(data)
    rank = len(shape)
    if operator == "Transpose":
        return m.node(operator, [data], **m.attributes(perm=[int(a) for a in m.rng.permutation(rank)]))
    if operator == "Flatten":
        return m.node(operator, [data], **m.attributes(axis=m.whole(-rank if m.opset >= 11 else 0, rank)))
    if operator == "Reshape":
        count = int(np.prod(shape, dtype=int))
        return m.node(operator, [data, m.longs(m.any([[-1], [1, -1], [count, 1], [1, count, 1], list(shape[::-1])]))])
    if operator == "Expand":
        return m.node(operator, [data, m.longs([*m.shape(0, 2, 2), *(m.whole(1, 3) if n == 1 else m.any([1, n]) for n in shape)])])
    if operator == "Tile":
        return m.node(operator, [data, m.longs([m.whole(1, 3) for _ in shape])])
    if operator == "Identity":
        return m.node(operator, [data])
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    axes = ones if operator == "Squeeze" else sorted({m.whole(0, rank) for _ in range(m.whole(1, 2))})
    if m.opset < 13:
        return m.node(operator, [data], axes=axes)
    m.node(operator, [data, m.longs(axes)])


@draws("DepthToSpace", "SpaceToDepth")
def blocks(m, operator):
    size = m.whole(1, 2)
    if operator == "DepthToSpace":
        data = m.tensor((1, size * size * m.whole(1, 2), m.whole(1, 2), m.whole(1, 3)))
        return m.node(operator, [data], blocksize=size, **({"mode": m.any(["DCR", "CRD"])} if m.opset >= 11 else {}))
    m.node(operator, [m.tensor((1, m.whole(1, 2), size * m.whole(1, 2), size * m.whole(1, 3)))], blocksize=size)


@draws("Trilu", "Compress", "ReverseSequence", "CenterCropPad", "Col2Im")
def rarer_move(m, operator):
    if operator == "Col2Im":
        data = m.tensor((1, 4 * m.whole(1, 2), 4))
        return m.node(operator, [data, m.longs([3, 3]), m.longs([2, 2])])
    data = m.tensor(rank=(2, 4))
    shape = m.of(data)
    if operator == "Trilu":
        return m.node(operator, [data, m.constant(np.array(m.whole(-3, 3), I)) if m.chance(0.7) else None], **m.attributes(upper=m.whole(0, 1)))
    if operator == "Compress":
        axis = m.axis(len(shape), m.opset >= 11)
        return m.node(operator, [data, m.constant(m.rng.random(shape[axis]) < 0.6)], axis=axis)
    if operator == "ReverseSequence":
        time = m.whole(0, 1)
        lengths = m.numbers((shape[1 - time],), 1, shape[time], I)
        return m.node(operator, [data, m.constant(lengths)], time_axis=time, batch_axis=1 - time)
    m.node(operator, [data, m.longs([m.whole(1, 5) for _ in shape])])


@draws("Shape", "Size", "Constant", "ConstantOfShape", "EyeLike", "Range", "NonZero")
def made_constant(m, operator):
    """A constant that the model computes, put to use."""
    data = m.tensor(rank=(2, 2) if operator == "EyeLike" else (1, 3))
    if operator == "Constant":
        (made,) = m.node(operator, [], value=numpy_helper.from_array(m.numbers(m.under(m.of(data)), -2, 2)))
    elif operator == "EyeLike":
        (made,) = m.node(operator, [data], **m.attributes(k=m.whole(-1, 1)))
    elif operator == "Range":
        (made,) = m.node(operator, [m.constant(np.array(x, F)) for x in (0, m.of(data)[-1], 1)])
    elif operator == "NonZero":
        rows = m.constant(np.array([m.whole(0, 1), 1, 0], I))
        (found,) = m.node(operator, [rows])
        (made,) = m.node("Cast", [found], to=TensorProto.FLOAT)
        (made,) = m.node("Transpose", [made])
    else:
        (made,) = m.node("Size" if operator == "Size" else "Shape", [data])
        if operator == "Shape" and m.chance(0.5):
            return m.node("Reshape", [data, made])
        if operator == "ConstantOfShape":
            (made,) = m.node(operator, [made], value=numpy_helper.from_array(np.array([m.any([0.0, 1.5])], F)))
        else:
            (made,) = m.node("Cast", [made], to=TensorProto.FLOAT)
    m.node(m.any(["Add", "Mul"]), [data, made])


@draws("Scan")
def scan(m, operator):
    data = m.tensor(rank=(1, 3))
    shape = m.of(data)
    axis = m.whole(0, len(shape) - 1)
    state = m.operand(shape[:axis] + shape[axis + 1 :])
    one = np.zeros(m.of(state), F)
    body = [helper.make_node("Sub", ["part", "before"], ["after"]), helper.make_node("Tanh", ["after"], ["made"])]
    graph = helper.make_graph(body, "body", [info("before", one), info("part", one)], [info("after", one), info("made", one)])
    options = {"scan_input_axes": [axis], "scan_output_axes": [m.whole(0, one.ndim)]}
    options |= m.attributes(scan_input_directions=[m.whole(0, 1)], scan_output_directions=[m.whole(0, 1)])
    m.node(operator, [state, data], 2, body=graph, num_scan_inputs=1, **options)


def ml(*names):
    return draws(*(f"{LEARNED}.{name}" for name in names))


@ml("Binarizer", "FeatureVectorizer", "Imputer", "Normalizer", "Scaler")
def features(m, operator):
    data = m.tensor(rank=(2, 2))
    width = m.of(data)[1]
    some = lambda: m.numbers((m.any([1, width]),), -2, 2).tolist()  # noqa: E731
    if operator.endswith("Binarizer"):
        return m.node(operator, [data], threshold=m.any([0.0, 0.25, -1.0]))
    if operator.endswith("FeatureVectorizer"):
        other = m.operand((m.of(data)[0], m.whole(1, 3)))
        return m.node(operator, [data, other], inputdimensions=[width, m.of(other)[1]])
    if operator.endswith("Imputer"):
        return m.node(operator, [data], imputed_value_floats=some(), replaced_value_float=m.any([0.0, 1.0, float("nan")]))
    if operator.endswith("Normalizer"):
        return m.node(operator, [data], norm=m.any(["L1", "L2", "MAX"]))
    count = m.any([1, width])
    m.node(operator, [data], offset=m.numbers((count,), -2, 2).tolist(), scale=m.numbers((count,), -2, 2).tolist())


@ml("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor")
def learned(m, operator):
    data = m.tensor(rank=(2, 2))
    width, classes = m.of(data)[1], m.whole(1, 3)
    some = lambda count: m.numbers((count,), -1, 1).tolist()  # noqa: E731
    labels = m.rng.permutation(9)[: max(classes, 2)].tolist()
    if "Linear" in operator:
        options = {"coefficients": some(classes * width), "intercepts": some(classes), "post_transform": m.any(["NONE", "LOGISTIC", "SOFTMAX"])}
        if operator.endswith("Regressor"):
            return m.node(operator, [data], targets=classes, **options)
        return m.node(operator, [data], 2, classlabels_ints=labels, **options)
    counts = [m.whole(1, 3) for _ in labels]
    vectors = sum(counts)
    options = {"kernel_type": m.any(["LINEAR", "POLY", "RBF", "SIGMOID"]), "kernel_params": [0.3, 0.2, 3.0], "support_vectors": some(vectors * width)}
    if operator.endswith("Regressor"):
        return m.node(operator, [data], n_supports=vectors, coefficients=some(vectors), rho=some(1), **options)
    pairs = len(labels) * (len(labels) - 1) // 2
    options |= {"vectors_per_class": counts, "coefficients": some((len(labels) - 1) * vectors), "rho": some(pairs)}
    m.node(operator, [data], 2, classlabels_ints=labels, **options)


@ml("ArrayFeatureExtractor", "LabelEncoder", "OneHotEncoder")
def by_label(m, operator):
    if operator.endswith("ArrayFeatureExtractor"):
        data = m.tensor(rank=(1, 3))
        last = m.of(data)[-1] - 1
        picked = m.numbers((m.whole(1, 3),), 0, last, I)
        return m.node(operator, [data, m.constant(picked) if m.chance(0.5) else m.input(picked.shape, 0, last, I)])
    data = m.tensor(kind=I, rank=(1, 2))
    keys = m.rng.permutation(7)[: m.whole(1, 4)].tolist()
    if operator.endswith("OneHotEncoder"):
        return m.node(operator, [data], cats_int64s=keys, zeros=1)
    if m.chance(0.5):
        return m.node(operator, [data], keys_int64s=keys, values_int64s=[3 * key for key in keys], default_int64=m.whole(-2, 2))
    m.node(operator, [data], keys_int64s=keys, values_floats=m.numbers((len(keys),), -1, 1).tolist(), default_float=0.5)


@draws("If", "Loop")
def control(m, operator):
    data = m.tensor()
    array = m.values[data][0]
    branch = lambda op: helper.make_graph(  # noqa: E731
        [helper.make_node(op, [data], [f"{op}_of_{data}"])], op, [], [info(f"{op}_of_{data}", array)]
    )
    if operator == "If":
        condition = m.constant(np.array(m.chance(0.5)))
        return m.node(operator, [condition], captured=[data], then_branch=branch("Neg"), else_branch=branch("Tanh"))
    count, going = np.array(0, I), np.array(True)
    body = [
        helper.make_node("Tanh", ["before"], ["turned"]),
        helper.make_node("Add", ["turned", "before"], ["after"]),
        helper.make_node("Identity", ["going"], ["still"]),
    ]
    graph = helper.make_graph(
        body, "body", [info("count", count), info("going", going), info("before", array)], [info("still", going), info("after", array)]
    )
    m.node(operator, [m.constant(np.array(m.whole(1, 3), I)), m.constant(np.array(True)), data], body=graph)


def draw(seed):
    """A random model."""
    m = Model(seed)
    size = m.whole(1, 8)
    names = sorted(DRAWS)
    for _ in range(20 * size):
        if len(m.nodes) >= size:
            break
        m.grow(m.any(names))
    return m


class Case:
    """A model with what ONNX Runtime says of it."""

    def __init__(self, model, outputs, seed):
        self.model, self.outputs, self.seed = model, outputs, seed
        needed, nodes = set(outputs), []
        for node in reversed(model.nodes):
            if needed & set(node.output):
                nodes.append(node)
                captured = [name for a in node.attribute if a.type == onnx.AttributeProto.GRAPH for n in a.g.node for name in n.input]
                needed |= set(node.input) | set(captured)
        self.nodes = nodes[::-1]
        self.inputs = {name: arrays for name, arrays in model.inputs.items() if name in needed}
        self.constants = {name: array for name, array in model.constants.items() if name in needed}
        if not self.inputs:
            raise Skip
        self.samples = [{name: arrays[s] for name, arrays in self.inputs.items()} for s in range(SAMPLES)]
        first = self.samples[0]
        try:
            session = start(self.nodes, first, outputs, self.constants, model.opset)
        except Exception as error:  # noqa: BLE001 - of a whole model ONNX Runtime may see what it does not of one node
            if "onnxruntime" not in type(error).__module__:
                raise
            raise Skip from error
        self.checks, self.answers = [], []
        for feed in self.samples + [self.fresh(kind) for kind in range(FRESH)]:
            try:
                answer = [np.asarray(array) for array in session.run(outputs, feed)]
                if not all(fine(a) for a in answer):
                    continue
            except Exception as error:  # noqa: BLE001 - an index outside of its range, for instance, has no answer
                if "onnxruntime" not in type(error).__module__:
                    raise
                continue
            self.checks.append(feed)
            self.answers.append(answer)
        self.shapes = [list(a.shape) for a in self.answers[0]]
        self.rounded = [self.is_rounded(name) for name in outputs]
        made = [info(name, a) for name, a in zip(outputs, self.answers[0])]
        self.proto = proto(self.nodes, first, made, self.constants, model.opset)

    def is_rounded(self, output):
        """Whether an output is of integers that real numbers were cast to, or were worked out of such: no more exact than these."""
        kind = lambda name: self.model.values[name][0].dtype.kind  # noqa: E731
        behind, seen = [output], set()
        while behind:
            name = behind.pop()
            node = next((node for node in self.nodes if name in node.output), None)
            if name in seen or node is None or kind(name) not in "iu":
                continue
            seen.add(name)
            inputs = [name for name in node.input if name]
            if node.op_type in ("Cast", "CastLike") and kind(inputs[0]) == "f":
                return True
            behind += inputs
        return False

    def rng(self, *of):
        """A generator that is the same in a smaller model."""
        return np.random.default_rng([*self.seed, *(zlib.crc32(str(part).encode()) for part in of)])

    def fresh(self, kind):
        """An input inside what the samples show: at each element's edges, at the edges of all, between samples."""
        feed = {}
        for name, arrays in self.inputs.items():
            stack, rng = np.stack(arrays), self.rng("fresh", kind, name)
            low, high = stack.min(0), stack.max(0)
            if kind % 4 == 1:
                low, high = np.full_like(low, stack.min()), np.full_like(high, stack.max())
            drawn = rng.random(low.shape)
            if kind % 4 < 2:
                feed[name] = np.where(drawn < 0.5, low, high)
            elif stack.dtype == F:
                feed[name] = (low + drawn * (high - low)).astype(F)
            else:
                feed[name] = arrays[int(rng.integers(SAMPLES))]
            feed[name] = np.asarray(feed[name], stack.dtype)
        return feed

    def moved(self, feed, neighbour):
        moved = {}
        for name, array in feed.items():
            if array.dtype == F:
                span = NEAR * max(np.abs(a).max() for a in self.inputs[name])
                if neighbour == 0:
                    # What a digit cannot tell from 0 may be 0.
                    array = np.where(np.abs(array) < span, F.type(0), array)
                else:
                    array = np.asarray(array + span * self.rng("moved", neighbour, name).uniform(-1, 1, array.shape), F)
            moved[name] = array
        return moved

    def shaken(self, feed):
        """What the model answers where each tensor of floats inside it is a little off, as digits and function tables make them."""
        shaken, nodes = {}, []
        for node in self.nodes:
            node = copy.deepcopy(node)
            for index, name in enumerate(node.output):
                if name in self.model.values and self.model.values[name][0].dtype == F:
                    shaken[name] = f"{name}/exact"
                    node.output[index] = shaken[name]
            nodes.append(node)
            nodes += [
                helper.make_node("Add", [shaken[name], f"{name}/off"], [name]) for name in shaken if shaken[name] in node.output
            ]
        inner = start(self.nodes, feed, list(shaken), self.constants, self.model.opset).run(list(shaken), feed) if shaken else []
        arrays = {name: np.asarray(array) for name, array in zip(shaken, inner)}
        noise = {f"{name}/off": array for name, array in arrays.items()}
        session = start(nodes, feed | noise, self.outputs, self.constants, self.model.opset)
        for draw in range(NEIGHBOURS):
            for name, array in arrays.items():
                span = NEAR * np.abs(array).max()
                off = np.where(np.abs(array) < span, -array, 0) if draw == 0 else span * self.rng("shaken", draw, name).uniform(-1, 1, array.shape)
                noise[f"{name}/off"] = np.asarray(off, F)
            yield [np.asarray(array) for array in session.run(self.outputs, feed | noise)]

    def nearby(self, check, output, digits):
        """What the model answers for inputs nearby, for the numbers that the input's digits stand for, and nearly so inside."""
        session = start(self.nodes, self.samples[0], self.outputs, self.constants, self.model.opset)
        feed = self.checks[check]
        meant = {name: np.array(numbers).reshape(array.shape).astype(array.dtype) for (name, array), numbers in zip(feed.items(), digits)}
        answers = [lambda n=n: session.run(self.outputs, self.moved(feed, n)) for n in range(NEIGHBOURS)]
        answers += [lambda: session.run(self.outputs, meant)]
        shaken = self.shaken(meant)
        for answer in answers + [lambda: next(shaken)] * NEIGHBOURS:
            try:
                array = np.asarray(answer()[output])
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - an index outside of its range, for instance, has no answer
                if "onnxruntime" not in type(error).__module__:
                    raise
                continue
            if fine(array):
                yield array.astype(np.float64)

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(self.proto.SerializeToString())
        flat = lambda feeds: [[(a + 0).reshape(-1).tolist() for a in feed.values()] for feed in feeds]  # noqa: E731
        (folder / "case.json").write_text(json.dumps({"samples": flat(self.samples), "checks": flat(self.checks)}))

    def judge(self, result):
        """`("right", None)`, `("near", None)` where some answer is an input's nearby, `("refused", reason)` or `("wrong", reason)`."""
        if "fault" in result:
            return "wrong", result["fault"]
        if "refused" in result:
            return "refused", result["refused"]
        if result["shapes"] != self.shapes:
            return "wrong", f"shapes {result['shapes']} where {self.shapes} are expected"
        verdict = "right"
        # Outputs that take steps are right within a mean error, on the samples and beside them; beside them one that is missed on one input
        # of so few may yet be.
        missed = [([], []) for _ in self.outputs]
        ranges = [max(LEAST_RANGE, *(np.abs(a.astype(np.float64)).max() for a in arrays)) for arrays in zip(*self.answers)]
        for check, (answer, exact) in enumerate(zip(result["answers"], self.answers)):
            if "refused" in answer:
                if check < SAMPLES:
                    return "wrong", f"sample {check} is refused: {answer['refused']}"
                continue
            for output, (name, rounded, given, exactly, largest) in enumerate(zip(self.outputs, self.rounded, answer["outputs"], exact, ranges)):
                allowed = MOST_ERROR * largest if rounded or exactly.dtype.kind == "f" else 0.0
                given, exactly = np.array(given).reshape(exactly.shape), exactly.astype(np.float64)
                if (np.abs(given - exactly) <= allowed).all():
                    continue
                verdict = "near"
                answers = [exactly, *self.nearby(check, output, answer["inputs"])]
                low, high = np.min(answers, 0), np.max(answers, 0)
                off = np.maximum(low - given, given - high)
                if result["steps"][output]:
                    here = missed[output][check >= SAMPLES]
                    here.append(off[off > 0].sum())
                    inputs = SAMPLES if check < SAMPLES else len(self.answers) - SAMPLES
                    leave = 0.0 if check < SAMPLES else max(here)
                    if sum(here) <= max(MOST_ERROR * largest * off.size * inputs, leave):
                        continue
                if not (off <= allowed).all():
                    at = np.unravel_index(off.argmax(), off.shape)
                    place = f"check {check}, output {name}{[int(i) for i in at]}"
                    says = f"{exactly[at]}, and {low[at]} to {high[at]} nearby; the output's range is {largest}"
                    return "wrong", f"{place}: {given[at]} where ONNX Runtime has {says}"
        return verdict, None


def judged(cases, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, case in enumerate(cases):
        case.write(folder / f"{index:05}")
    lines = subprocess.run([RUNNER, "run", folder], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    results = {result["case"]: result for result in map(json.loads, lines)}
    verdicts = [case.judge(results[f"{index:05}"]) for index, case in enumerate(cases)]
    shutil.rmtree(folder)
    return verdicts


def smaller(case):
    """Models with less in them: one output of the model's or of a node; a node's output as an input."""
    model = case.model
    for node in case.nodes:
        for name in node.output:
            if name in model.values and (len(case.nodes) > 1 or len(case.outputs) > 1):
                yield model, [name]
    for node in case.nodes:
        if any(name in case.outputs for name in node.output):
            continue
        cut = copy.copy(model)
        cut.nodes = [other for other in model.nodes if other is not node]
        cut.inputs = model.inputs | {name: model.values[name] for name in node.output if model.values[name][0].dtype in (F, B, *INTEGERS)}
        yield cut, case.outputs


def shrunk(case, reason):
    """The smallest model that is still wrong."""
    while True:
        tries = []
        for model, outputs in smaller(case):
            try:
                tries.append(Case(model, outputs, case.seed))
            except Exception:  # noqa: BLE001 - what cannot run is no smaller model
                continue
        tries = [one for one in tries if (len(one.nodes), len(one.outputs)) < (len(case.nodes), len(case.outputs))]
        tries.sort(key=lambda one: (len(one.nodes), len(one.outputs)))
        wrong = [(one, why) for one, (verdict, why) in zip(tries, judged(tries, FOUND / "tries")) if verdict == "wrong"]
        if not wrong:
            return case, reason
        case, reason = wrong[0]


def text(case):
    """A model in a few lines."""
    lines = [f"  operator set {case.model.opset}"]
    lines += [f"  input {name}: {a[0].dtype}{list(a[0].shape)}" for name, a in case.inputs.items()]
    lines += [f"  constant {name} = {' '.join(str(a.tolist()).split())[:160]} ({a.dtype})" for name, a in case.constants.items()]
    for node in case.nodes:
        options = ", ".join(f"{a.name}={helper.get_attribute_value(a)!r}"[:120] for a in node.attribute)
        lines.append(f"  {', '.join(node.output)} = {node.op_type}({', '.join(node.input)}{'; ' + options if options else ''})")
    return "\n".join(lines)


def main():
    seed, count = (int(argument) for argument in sys.argv[1:])
    known = set(subprocess.run([RUNNER, "operators"], check=True, stdout=subprocess.PIPE, text=True).stdout.split())
    if known != set(DRAWS):
        sys.exit(f"the importer's operators and those that are drawn here differ by {sorted(known ^ set(DRAWS))}")
    shutil.rmtree(FOUND, ignore_errors=True)
    cases, used = [], collections.Counter()
    for index in range(count):
        attempt = 0
        while len(cases) == index:
            attempt += 1
            model = draw([seed, index, attempt])
            read = {name for node in model.nodes for name in node.input}
            ends = [name for name in model.values if name.startswith("y") and name not in read]
            try:
                cases.append(Case(model, ends, [seed, index]))
            except (Skip, IndexError):
                continue
        used.update({node.op_type for node in cases[-1].nodes})
    verdicts = judged(cases, FOUND / "cases")
    total = collections.Counter(verdict for verdict, _ in verdicts)
    right = total["right"] + total["near"]
    print(f"{count} models of {len(used)} operators: {right} are right, {total['refused']} are refused, {total['wrong']} are wrong")
    print(f"{total['near']} of those that are right jump or are steep somewhere, and answer there for an input nearby")
    reasons = collections.Counter()
    for verdict, reason in verdicts:
        if verdict == "refused":
            reason = re.sub(r"-?\d[\d.e+-]*", "#", re.sub(r"`[^`]*`", "`…`", reason.partition("; supported are")[0]))
            reasons[reason[:150]] += 1
    for reason, times in reasons.most_common():
        print(f"{times:6}  {reason}")
    for index, (case, (verdict, reason)) in enumerate(zip(cases, verdicts)):
        if verdict == "wrong":
            small, why = shrunk(case, reason)
            place = FOUND / f"{seed}-{index}"
            small.write(place)
            print(f"model {index}, left in {place.relative_to(ROOT)}: {why}\n{text(small)}")
    if total["wrong"]:
        sys.exit(1)
    if right < LEAST_ANSWERED * count:
        sys.exit(f"fewer than {LEAST_ANSWERED:.0%} of the models are answered: this shows too little")


main()
