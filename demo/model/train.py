"""Train the demo's LeNet-5 on scikit-learn's digits and export it to ONNX.

Plain numpy, seeded, single-threaded: two runs on one machine give the same
bytes. Writes model.onnx, samples.json, input.json, heldout.npz and
expected.json next to this file (or into the folder given with --out).
"""

import os

# The order of floating-point sums must not depend on the number of threads.
for _var in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_var] = "1"

import argparse
import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20240601
EPOCHS = 60
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
MAX_SHIFT = 2  # pixels of the 28x28 image, each axis
CALIBRATION = 32
SIDE = 28
# Pixels lie on a grid of 1/64: exact in float32 and in six decimals, so the
# JSON files and heldout.npz hold the very same numbers.
PIXEL_LEVELS = 64


# ---------------------------------------------------------------- data


def bilinear_matrix(source, target):
    """Matrix [target, source] of a 1-D bilinear resize (half-pixel centres)."""
    matrix = np.zeros((target, source))
    for i in range(target):
        position = min(max((i + 0.5) * source / target - 0.5, 0.0), source - 1.0)
        low = min(int(position), source - 2)
        fraction = position - low
        matrix[i, low] += 1.0 - fraction
        matrix[i, low + 1] += fraction
    return matrix


def load_data():
    digits = load_digits()
    small = digits.images / 16.0
    resize = bilinear_matrix(small.shape[1], SIDE)
    large = np.einsum("ai,nij,bj->nab", resize, small, resize)
    large = np.rint(large * PIXEL_LEVELS) / PIXEL_LEVELS
    x = large[:, None].astype(np.float32)
    y = digits.target.astype(np.int64)
    return train_test_split(x, y, test_size=0.2, random_state=SEED, stratify=y)


def random_shifts(x, rng):
    """Shift each image by up to MAX_SHIFT pixels per axis, filling with zero."""
    m = MAX_SHIFT
    padded = np.pad(x, ((0, 0), (0, 0), (m, m), (m, m)))
    offsets = rng.integers(0, 2 * m + 1, size=(len(x), 2))
    return np.stack(
        [padded[i, :, r : r + SIDE, c : c + SIDE] for i, (r, c) in enumerate(offsets)]
    )


# -------------------------------------------------------------- layers


def im2col(x, k):
    """[n, c, h, w] -> [n * oh * ow, c * k * k]"""
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    n, c, oh, ow = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * oh * ow, c * k * k)


class Conv:
    def __init__(self, rng, cin, cout, k, pad):
        scale = math.sqrt(2.0 / (cin * k * k))
        self.w = rng.normal(0.0, scale, (cout, cin, k, k)).astype(np.float32)
        self.b = np.zeros(cout, np.float32)
        self.k, self.pad = k, pad

    def forward(self, x):
        p = self.pad
        x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.shape = x.shape
        n, _, h, w = x.shape
        self.oh, self.ow = h - self.k + 1, w - self.k + 1
        self.cols = im2col(x, self.k)
        out = self.cols @ self.w.reshape(len(self.b), -1).T + self.b
        return out.reshape(n, self.oh, self.ow, -1).transpose(0, 3, 1, 2)

    def backward(self, grad):
        cout, cin, k, p = len(self.b), self.w.shape[1], self.k, self.pad
        n = grad.shape[0]
        flat = grad.transpose(0, 2, 3, 1).reshape(-1, cout)
        self.dw = (flat.T @ self.cols).reshape(self.w.shape)
        self.db = flat.sum(axis=0)
        cols = (flat @ self.w.reshape(cout, -1)).reshape(n, self.oh, self.ow, cin, k, k)
        dx = np.zeros(self.shape, np.float32)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + self.oh, j : j + self.ow] += cols[
                    :, :, :, :, i, j
                ].transpose(0, 3, 1, 2)
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class AveragePool2:
    def forward(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))

    def backward(self, grad):
        return (grad * np.float32(0.25)).repeat(2, axis=2).repeat(2, axis=3)


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad):
        return grad.reshape(self.shape)


class Gemm:
    """y = x @ w.T + b, that is ONNX Gemm with transB = 1."""

    def __init__(self, rng, cin, cout):
        scale = math.sqrt(2.0 / cin)
        self.w = rng.normal(0.0, scale, (cout, cin)).astype(np.float32)
        self.b = np.zeros(cout, np.float32)

    def forward(self, x):
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, grad):
        self.dw = grad.T @ self.x
        self.db = grad.sum(axis=0)
        return grad @ self.w


def lenet5(rng):
    """The layers, in order, by the name their ONNX node will have."""
    return {
        "conv1": Conv(rng, 1, 6, 5, pad=2),
        "relu1": Relu(),
        "pool1": AveragePool2(),
        "conv2": Conv(rng, 6, 16, 5, pad=0),
        "relu2": Relu(),
        "pool2": AveragePool2(),
        "flatten": Flatten(),
        "fc1": Gemm(rng, 400, 120),
        "relu3": Relu(),
        "fc2": Gemm(rng, 120, 84),
        "relu4": Relu(),
        "fc3": Gemm(rng, 84, 10),
    }


def forward(net, x):
    for layer in net.values():
        x = layer.forward(x)
    return x


# ------------------------------------------------------------ training


class Adam:
    """Adam with decoupled weight decay (on weights, not on biases)."""

    def __init__(self, net):
        self.layers = [layer for layer in net.values() if hasattr(layer, "w")]
        self.moments = {
            (i, name): [np.zeros_like(getattr(layer, name)) for _ in range(2)]
            for i, layer in enumerate(self.layers)
            for name in ("w", "b")
        }
        self.t = 0

    def step(self, lr):
        self.t += 1
        b1, b2 = 0.9, 0.999
        scale = lr * math.sqrt(1.0 - b2**self.t) / (1.0 - b1**self.t)
        for (i, name), (m, v) in self.moments.items():
            param, grad = getattr(self.layers[i], name), getattr(self.layers[i], "d" + name)
            m += (1.0 - b1) * (grad - m)
            v += (1.0 - b2) * (grad * grad - v)
            if name == "w":
                param -= lr * WEIGHT_DECAY * param
            param -= scale * m / (np.sqrt(v) + 1e-8)


def softmax_cross_entropy(logits, y):
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(p[rows, y] + 1e-12).mean()
    p[rows, y] -= 1.0
    return loss, p / np.float32(len(y))


def train(net, x, y, rng):
    adam = Adam(net)
    batches = math.ceil(len(x) / BATCH)
    total, step = EPOCHS * batches, 0
    for epoch in range(EPOCHS):
        order, losses = rng.permutation(len(x)), []
        for part in np.array_split(order, batches):
            logits = forward(net, random_shifts(x[part], rng))
            loss, grad = softmax_cross_entropy(logits, y[part])
            for layer in reversed(net.values()):
                grad = layer.backward(grad)
            adam.step(LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * step / total)))
            losses.append(loss)
            step += 1
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3d}  loss {np.mean(losses):.4f}", flush=True)


# -------------------------------------------------------------- export


def export(net, path):
    nodes, weights, previous = [], [], "input"
    last = list(net)[-1]
    for name, layer in net.items():
        inputs, output = [previous], "output" if name == last else f"{name}_out"
        if hasattr(layer, "w"):
            for key, value in (("weight", layer.w), ("bias", layer.b)):
                weights.append(numpy_helper.from_array(value, f"{name}.{key}"))
                inputs.append(f"{name}.{key}")
        op, attributes = {
            Conv: ("Conv", {}),
            Relu: ("Relu", {}),
            AveragePool2: ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            Flatten: ("Flatten", {"axis": 1}),
            Gemm: ("Gemm", {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}),
        }[type(layer)]
        if op == "Conv":
            attributes = {
                "kernel_shape": [layer.k] * 2,
                "pads": [layer.pad] * 4,
                "strides": [1, 1],
                "dilations": [1, 1],
                "group": 1,
            }
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        previous = output
    graph = helper.make_graph(
        nodes,
        "lenet5",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 10])],
        initializer=weights,
    )
    model = helper.make_model(
        graph,
        producer_name="zkslice-demo",
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def rounded(values):
    return [round(float(v), 6) for v in np.ravel(values)]


def write_json(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def one_of_each_in_turn(y, count):
    """Indices of `count` images that go round the ten classes."""
    queues = [list(np.flatnonzero(y == digit)) for digit in range(10)]
    return [queues[i % 10][i // 10] for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    x_train, x_held, y_train, y_held = load_data()
    rng = np.random.default_rng(SEED)
    net = lenet5(rng)
    train(net, x_train, y_train, rng)
    export(net, out / "model.onnx")

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        str(out / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )

    def run(x):
        return np.concatenate([session.run(["output"], {"input": i[None]})[0] for i in x])

    logits = run(x_held)
    drift = float(np.abs(logits - forward(net, x_held)).max())
    assert drift < 1e-3, f"ONNX Runtime and numpy differ by {drift}"
    correct = logits.argmax(axis=1) == y_held
    train_accuracy = float((run(x_train).argmax(axis=1) == y_train).mean())

    shown = int(np.flatnonzero(correct)[0])
    calibration = x_train[one_of_each_in_turn(y_train, CALIBRATION)]
    write_json(
        out / "samples.json", {"samples": [{"input_data": [rounded(x)]} for x in calibration]}
    )
    write_json(out / "input.json", {"input_data": [rounded(x_held[shown])]})
    write_json(out / "expected.json", {"output_data": [rounded(logits[shown])]})
    np.savez_compressed(out / "heldout.npz", x=np.ascontiguousarray(x_held), y=y_held)

    print(f"training accuracy  {train_accuracy:.4f} ({len(y_train)} images)")
    print(f"held-back accuracy {correct.mean():.4f} ({correct.sum()} of {len(y_held)})")
    print(f"input.json: held-back image {shown}, digit {y_held[shown]}")
    print(f"largest |ONNX Runtime - numpy| on held-back logits: {drift:.2e}")
    print(f"largest |logit| on held-back data: {np.abs(logits).max():.2f}")


if __name__ == "__main__":
    main()
