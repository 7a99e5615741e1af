"""Train a ResNet-20 (He et al. 2015, section 4.2, 16-32-64 channels) on coloured digits and export it to ONNX.

Run with: pip install -r requirements.txt && python train.py. Some minutes on two cores. Seeded; another CPU may round
differently. Writes model.onnx, samples.json (32 training images), input.json, expected.json (ONNX Runtime's output for
it) and heldout.npz (1,000 images that nothing was trained or calibrated on) next to this file.

The images: scikit-learn's 8x8 digits, scaled to 32x32, in a random colour on a random background, with noise; three
channels, normalised to about [-2, 2]. Batch norms are exported as they are, in inference mode.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime as ort
import optax
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 20261128
STEPS = 260
BATCH = 64
HELDOUT = 1000
CALIBRATION = 32
WIDTHS = (16, 32, 64)
BLOCKS = 3
EPSILON = 1e-5
MOMENTUM = 0.9
HERE = Path(__file__).parent


def bilinear(target, source=8):
    matrix = np.zeros((target, source))
    for i in range(target):
        position = min(max((i + 0.5) * source / target - 0.5, 0.0), source - 1.0)
        low = min(int(position), source - 2)
        matrix[i, low], matrix[i, low + 1] = 1.0 - (position - low), position - low
    return matrix


def colour(small, rng):
    """[n, 8, 8] in [0, 1] to [n, 3, 32, 32] in about [-2, 2], on a grid of 1/128."""
    resize = bilinear(32)
    mask = np.einsum("ai,nij,bj->nab", resize, small, resize)[:, None]
    n = len(small)
    ink, paper = rng.uniform(0.4, 1.0, (n, 3, 1, 1)), rng.uniform(0.0, 0.45, (n, 3, 1, 1))
    image = paper + (ink - paper) * mask + rng.normal(0.0, 0.03, (n, 3, 32, 32))
    return (np.rint((image - 0.4) * 512) / 128).astype(np.float32)


def conv_init(rng, out, inner, kernel):
    return (rng.standard_normal((out, inner, kernel, kernel)) * np.sqrt(2 / (inner * kernel * kernel))).astype(np.float32)


def units():
    """(name, in channels, out channels, stride) of each convolution unit, shortcuts included."""
    yield "stem", 3, WIDTHS[0], 1
    inner = WIDTHS[0]
    for stage, width in enumerate(WIDTHS):
        for block in range(BLOCKS):
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"s{stage}b{block}c0", inner, width, stride
            yield f"s{stage}b{block}c1", width, width, 1
            if inner != width:
                yield f"s{stage}b{block}short", inner, width, stride
            inner = width


def initial(rng):
    weights, moving = {}, {}
    for name, inner, out, _ in units():
        weights[name] = {"w": conv_init(rng, out, inner, 1 if name.endswith("short") else 3), "g": np.ones(out, np.float32), "b": np.zeros(out, np.float32)}
        moving[name] = {"m": np.zeros(out, np.float32), "v": np.ones(out, np.float32)}
    weights["head"] = {"w": (rng.standard_normal((10, WIDTHS[-1])) * 0.1).astype(np.float32), "b": np.zeros(10, np.float32)}
    return weights, moving


STRIDES = {name: stride for name, _, _, stride in units()}


def forward(weights, moving, x, training):
    new = {}

    def unit(name, x):
        p = weights[name]
        pad = 0 if name.endswith("short") else 1
        y = jax.lax.conv_general_dilated(x, p["w"], (STRIDES[name],) * 2, ((pad, pad), (pad, pad)))
        if training:
            mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3))
            new[name] = {"m": MOMENTUM * moving[name]["m"] + (1 - MOMENTUM) * mean, "v": MOMENTUM * moving[name]["v"] + (1 - MOMENTUM) * var}
        else:
            mean, var = moving[name]["m"], moving[name]["v"]
        scale = p["g"] / jnp.sqrt(var + EPSILON)
        return (y - mean[:, None, None]) * scale[:, None, None] + p["b"][:, None, None]

    x = jax.nn.relu(unit("stem", x))
    for stage in range(len(WIDTHS)):
        for block in range(BLOCKS):
            name = f"s{stage}b{block}"
            y = unit(name + "c1", jax.nn.relu(unit(name + "c0", x)))
            x = jax.nn.relu(y + (unit(name + "short", x) if name + "short" in STRIDES else x))
    logits = x.mean((2, 3)) @ weights["head"]["w"].T + weights["head"]["b"]
    return logits, new


def export(weights, moving):
    nodes, tensors = [], []

    def const(name, array):
        tensors.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def unit(name, x):
        p, q = weights[name], moving[name]
        kernel = p["w"].shape[-1]
        y = node("Conv", [x, const(name + ".w", p["w"])], name + "/conv", kernel_shape=[kernel] * 2, strides=[STRIDES[name]] * 2, pads=[kernel // 2] * 4)
        parameters = [const(f"{name}.{key}", value) for key, value in [("g", p["g"]), ("b", p["b"]), ("m", q["m"]), ("v", q["v"])]]
        return node("BatchNormalization", [y, *parameters], name + "/norm", epsilon=EPSILON)

    x = node("Relu", [unit("stem", "input")], "stem/relu")
    for stage in range(len(WIDTHS)):
        for block in range(BLOCKS):
            name = f"s{stage}b{block}"
            y = node("Relu", [unit(name + "c0", x)], name + "c0/relu")
            y = unit(name + "c1", y)
            short = unit(name + "short", x) if name + "short" in STRIDES else x
            x = node("Relu", [node("Add", [y, short], name + "/add")], name + "/relu")
    x = node("Flatten", [node("GlobalAveragePool", [x], "pool")], "flat", axis=1)
    node("Gemm", [x, const("head.w", weights["head"]["w"]), const("head.b", weights["head"]["b"])], "output", transB=1)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "resnet20", [info("input", TensorProto.FLOAT, [1, 3, 32, 32])], [info("output", TensorProto.FLOAT, [1, 10])], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="zkslice")
    onnx.checker.check_model(made)
    return made


def main():
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    order = rng.permutation(len(digits.images))
    small, labels = digits.images[order] / 16.0, digits.target[order]
    held_x, held_y = colour(small[:HELDOUT], rng), labels[:HELDOUT]
    train_x, train_y = small[HELDOUT:], labels[HELDOUT:]
    weights, moving = initial(rng)
    optimiser = optax.adamw(optax.cosine_decay_schedule(3e-3, STEPS), weight_decay=1e-3)
    state = optimiser.init(weights)

    @jax.jit
    def step(weights, moving, state, x, y):
        def loss(weights):
            logits, new = forward(weights, moving, x, True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new

        (value, new), gradient = jax.value_and_grad(loss, has_aux=True)(weights)
        updates, state = optimiser.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), new, state, value

    for index in range(STEPS):
        pick = rng.integers(0, len(train_x), BATCH)
        weights, moving, state, value = step(weights, moving, state, colour(train_x[pick], rng), train_y[pick])
        if index % 20 == 0:
            print(index, float(value), flush=True)
    weights, moving = jax.device_get((weights, moving))

    made = export(weights, moving)
    onnx.save(made, HERE / "model.onnx")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    run = lambda x: session.run(None, {"input": x[None]})[0]
    accuracy = np.mean([np.argmax(run(x)) == y for x, y in zip(held_x, held_y)])
    print(f"accuracy on {HELDOUT} held-out images: {accuracy:.4f}")
    flat = lambda x: [float(v) for v in x.reshape(-1)]
    samples = colour(train_x[:CALIBRATION], rng)
    (HERE / "samples.json").write_text(json.dumps({"samples": [{"input_data": [flat(x)]} for x in samples]}, separators=(",", ":")) + "\n")
    (HERE / "input.json").write_text(json.dumps({"input_data": [flat(held_x[0])], "input_shapes": [[1, 3, 32, 32]]}, separators=(",", ":")) + "\n")
    (HERE / "expected.json").write_text(json.dumps({"output_data": [flat(run(held_x[0]))]}, separators=(",", ":")) + "\n")
    # On the grid that `colour` rounds to: 128 x is a small whole number.
    np.savez_compressed(HERE / "heldout.npz", x=np.rint(held_x * 128).astype(np.int16), y=held_y.astype(np.int64))


if __name__ == "__main__":
    main()
