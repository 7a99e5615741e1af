//! The domain `ai.onnx.ml`: linear models, support vectors, and what prepares their features.

use std::collections::HashSet;

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::mask::Mask;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("ai.onnx.ml.ArrayFeatureExtractor", "constant or computed indices", |i, c, _| i.extract(c).map(one)),
    operator("ai.onnx.ml.Binarizer", "any tensor", |i, c, a| i.binarize(c, a).map(one)),
    operator("ai.onnx.ml.FeatureVectorizer", "any number of matrices", |i, c, a| i.side_by_side(c, a).map(one)),
    operator("ai.onnx.ml.Imputer", "any tensor; no number is missing", |i, c, a| i.impute(c, a).map(one)),
    operator("ai.onnx.ml.LabelEncoder", "integers for integers or floats", |i, c, a| i.relabel(c, a).map(one)),
    operator("ai.onnx.ml.LinearClassifier", "integer labels; transforms `NONE`, `LOGISTIC`, `SOFTMAX`", |i, c, a| i.classify(c, a)),
    operator("ai.onnx.ml.LinearRegressor", "transforms `NONE`, `LOGISTIC`, `SOFTMAX`; `NONE` for one target", |i, c, a| {
        i.regress(c, a).map(one)
    }),
    operator("ai.onnx.ml.Normalizer", "`L1`, `L2`, `MAX`", |i, c, a| i.normalize(c, a).map(one)),
    operator("ai.onnx.ml.OneHotEncoder", "integer categories", |i, c, a| i.one_of(c, a).map(one)),
    operator("ai.onnx.ml.SVMClassifier", "support vectors without probabilities, integer labels; all kernels", |i, c, a| {
        i.support_classes(c, a)
    }),
    operator("ai.onnx.ml.SVMRegressor", "all kernels, without a transform", |i, c, a| i.support_regress(c, a).map(one)),
    operator("ai.onnx.ml.Scaler", "any tensor", |i, c, a| i.scale_features(c, a).map(one)),
];

const TEXT: &str = "are text, and a proof is of numbers: train or convert the model with integers in their place";

/// What support vectors are compared by.
struct Kernel {
    kind: String,
    gamma: f64,
    coefficient: f64,
    degree: f64,
}

impl Importer<'_> {
    /// The input as rows of features, and its shape.
    fn features(&mut self, c: &Context<'_>) -> Result<(Known, [usize; 2]), ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let shape = match *self.shape(x) {
            [n, k] => [n, k],
            [k] => [1, k],
            ref other => return Err(c.wrong(format!("its input of shape {other:?} is no row and no matrix"))),
        };
        let rows = self.reshaped(c, x, &shape)?;
        // Integers are features as floats are.
        let rows = if self.is_real(&rows) { rows } else { self.push_as(c, FloatOp::Reshape, &[&rows], &shape, Kind::Real)? };
        Ok((rows, shape))
    }

    /// Scores `[n, outputs]` of rows, by lists of weights and intercepts in attributes.
    fn linear_scores(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let (rows, [n, k]) = self.features(c)?;
        let weights = numbers(a, "coefficients")?.ok_or_else(|| a.wrong("coefficients", "is missing"))?;
        if k == 0 || weights.is_empty() || !weights.len().is_multiple_of(k) {
            return Err(a.wrong("coefficients", format!("has {} numbers, which are no rows of {k} features", weights.len())));
        }
        let outputs = weights.len() / k;
        let bias = match numbers(a, "intercepts")? {
            Some(list) if list.len() == outputs => list,
            None => vec![0.0; outputs],
            Some(list) => return Err(a.wrong("intercepts", format!("has {} numbers where {outputs} are needed", list.len()))),
        };
        self.dense(c, &rows, weights, bias, &[n, outputs])
    }

    /// Scores after the transform that an attribute names; a `lone` one stands for two classes.
    fn transformed(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, scores: &Known, lone: bool) -> Result<Known, ImportError> {
        let name = a.string("post_transform")?.unwrap_or_else(|| "NONE".into());
        let length = self.row_sizes(scores).1;
        let both = |i: &mut Self, score: &Known| {
            let other = i.sum(c, &[(score, -1.0)], 1.0)?;
            i.joined(c, &[other, score.clone()], 1)
        };
        match name.as_str() {
            "LOGISTIC" => {
                let output = self.sigmoid(c, scores)?;
                if lone { both(self, &output) } else { Ok(output) }
            }
            "NONE" | "SOFTMAX" if lone => both(self, scores),
            "NONE" => Ok(scores.clone()),
            "SOFTMAX" => self.soft_max(c, scores, length, &Mask::default(), false),
            _ => Err(a.wrong("post_transform", format!("is `{name}`; NONE, LOGISTIC and SOFTMAX are supported"))),
        }
    }

    fn regress(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let scores = self.linear_scores(c, a)?;
        let targets = self.row_sizes(&scores).1 as i64;
        if let Some(stated) = a.int("targets")?.filter(|&stated| stated != targets) {
            return Err(a.wrong("targets", format!("is {stated} where the coefficients are for {targets}")));
        }
        if targets == 1 {
            untransformed(a)?;
        }
        self.transformed(c, a, &scores, false)
    }

    fn classify(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        a.ignore("multi_class");
        let scores = self.linear_scores(c, a)?;
        let count = self.row_sizes(&scores).1;
        let labels = labels(c, a, count.max(2))?;
        let label = match labels {
            None => None,
            Some(labels) if count == 1 => {
                // The second class is that of scores above zero.
                let below = self.negated(c, &scores)?;
                let below = self.step(c, &below)?;
                let above = self.not(c, &below)?;
                Some(self.labelled(c, &above, &labels)?)
            }
            Some(labels) => {
                let winners = self.row_winners(c, &scores, false)?;
                Some(self.labelled(c, &winners, &labels)?)
            }
        };
        let output = self.transformed(c, a, &scores, count == 1)?;
        let label = label.unwrap_or_else(|| Known::Constant(Constant::ints(vec![0], Vec::new())));
        Ok(vec![label, output])
    }

    /// The labels `[n]` of classes by their positions `[n, 1]`.
    fn labelled(&mut self, c: &Context<'_>, positions: &Known, labels: &[i64]) -> Result<Known, ImportError> {
        let n = self.row_sizes(positions).0;
        let positions = self.reshaped(c, positions, &[n])?;
        let step = labels[1] - labels[0];
        if labels.windows(2).all(|pair| pair[1] - pair[0] == step) {
            let output = self.sum(c, &[(&positions, step as f64)], labels[0] as f64)?;
            return Ok(self.of_kind(output, Kind::Integer));
        }
        let count = labels.len();
        let hot = self.push(c, FloatOp::OneHot { count }, &[&positions], &[n, count])?;
        self.dense(c, &hot, labels.iter().map(|&label| label as f64).collect(), vec![0.0], &[n])
    }

    /// `offset` and `scale` by feature.
    fn scale_features(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let (rows, [_, k]) = self.features(c)?;
        let mut list = |name: &str, default: f64| match numbers(a, name)? {
            Some(list) if list.len() == 1 || list.len() == k => Ok(list),
            None => Ok(vec![default]),
            Some(list) => Err(a.wrong(name, format!("has {} numbers for {k} features", list.len()))),
        };
        let (offset, scale) = (list("offset", 0.0)?, list("scale", 1.0)?);
        let pick = |list: &[f64], i: usize| if list.len() == 1 { list[0] } else { list[i] };
        let bias = (0..k).map(|i| -pick(&offset, i) * pick(&scale, i)).collect();
        let output = self.weighted_along(c, 1, &[(&rows, scale.clone())], bias)?;
        let shape = self.shape(c.known(0)?).to_vec();
        self.reshaped(c, &output, &shape)
    }

    /// Each row divided by its norm, where that is not zero.
    fn normalize(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let name = a.string("norm")?.unwrap_or_else(|| "MAX".into());
        let (rows, _) = self.features(c)?;
        let output = match name.as_str() {
            "L1" => self.unit_rows(c, &rows, 1)?,
            "L2" => self.unit_rows(c, &rows, 2)?,
            "MAX" => {
                let most = self.row_extremes(c, &rows, true)?;
                let opposite = self.negated(c, &most)?;
                let (first, second) = (self.step(c, &most)?, self.step(c, &opposite)?);
                let is_zero = self.sum(c, &[(&first, 1.0), (&second, 1.0)], -1.0)?;
                let divisor = self.plus(c, &most, &is_zero)?;
                self.real_quotient(c, &rows, &divisor)?
            }
            _ => return Err(a.wrong("norm", format!("is `{name}`, which does not exist"))),
        };
        let shape = self.shape(c.known(0)?).to_vec();
        self.reshaped(c, &output, &shape)
    }

    /// 1 above a threshold, else 0.
    fn binarize(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let threshold = a.float("threshold", 0.0)?;
        let below = self.sum(c, &[(c.known(0)?, -1.0)], threshold)?;
        let below = self.step(c, &below)?;
        let output = self.not(c, &below)?;
        Ok(self.of_kind(output, Kind::Real))
    }

    /// Numbers in the place of a number that stands for none; what is no number cannot be given.
    fn impute(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let (name, replaced, imputed) = if self.is_real(x) {
            a.ignore("imputed_value_int64s");
            a.ignore("replaced_value_int64");
            // NaN is what is replaced in most models.
            let replaced = a.any_float("replaced_value_float")?.unwrap_or(0.0);
            ("imputed_value_floats", replaced, numbers(a, "imputed_value_floats")?)
        } else {
            a.ignore("imputed_value_floats");
            a.ignore("replaced_value_float");
            let imputed = a.ints("imputed_value_int64s")?.map(|list| list.iter().map(|&x| x as f64).collect::<Vec<_>>());
            ("imputed_value_int64s", a.int("replaced_value_int64")?.unwrap_or(0) as f64, imputed)
        };
        let shape = self.shape(x).to_vec();
        let last = shape.last().copied().unwrap_or(1);
        let Some(imputed) = imputed.filter(|list| list.len() == 1 || list.len() == last) else {
            return Err(a.wrong(name, format!("is missing, or not one number or {last}")));
        };
        if !replaced.is_finite() {
            return Ok(x.clone());
        }
        let is_missing = self.is_number(c, x, &self.number_like(x, replaced))?;
        let constant = Constant::floats(vec![imputed.len()], imputed);
        let imputed = self.of_kind(Known::Constant(constant), self.kind(x));
        let difference = self.minus(c, &imputed, x)?;
        let change = self.product(c, &is_missing, &difference)?;
        let output = self.plus(c, x, &change)?;
        Ok(self.of_kind(output, self.kind(x)))
    }

    /// Truth values of `x = y`.
    fn is_number(&mut self, c: &Context<'_>, x: &Known, y: &Known) -> Result<Known, ImportError> {
        let (first, second) = (self.at_least(c, x, y)?, self.at_least(c, y, x)?);
        let both = self.sum(c, &[(&first, 1.0), (&second, 1.0)], -1.0)?;
        Ok(self.of_kind(both, Kind::Boolean))
    }

    /// For each element and each category whether it is that one, along a new last axis.
    fn one_of(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        // What is no category has zeros; without them an inference would fail.
        a.flag("zeros", true)?;
        no_text(a, "cats_strings")?;
        let categories = a.ints("cats_int64s")?.filter(|list| !list.is_empty()).ok_or_else(|| a.wrong("cats_int64s", "is missing"))?;
        no_twins(a, "cats_int64s", categories)?;
        // Floats are categories without their fractions.
        let x = c.known(0)?;
        let x = if self.is_real(x) { self.truncated(c, x)? } else { x.clone() };
        let output = self.among(c, &x, categories)?;
        Ok(self.of_kind(output, Kind::Real))
    }

    /// For each element and each integer of a list whether the one is the other, along a new last axis.
    fn among(&mut self, c: &Context<'_>, x: &Known, list: &[i64]) -> Result<Known, ImportError> {
        let shape = self.shape(x).to_vec();
        let x = self.reshaped(c, x, &[&shape[..], &[1]].concat())?;
        let x = self.expanded(c, &x, &[&shape[..], &[list.len()]].concat())?;
        let constant = Known::Constant(Constant::ints(vec![list.len()], list.to_vec()));
        let constant = self.of_kind(constant, self.kind(&x));
        self.is_number(c, &x, &constant)
    }

    /// `default + Σ [x = key]·(value − default)`.
    fn relabel(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        for name in ["keys_strings", "values_strings", "classes_strings"] {
            no_text(a, name)?;
        }
        a.ignore("default_string");
        let keys = a.ints("keys_int64s")?.filter(|list| !list.is_empty());
        let keys = keys.ok_or_else(|| a.wrong("keys_int64s", "is missing; integers alone can be encoded"))?;
        no_twins(a, "keys_int64s", keys)?;
        let (ints, floats) = (a.ints("values_int64s")?, numbers(a, "values_floats")?);
        let (default_int, default_float) = (a.int("default_int64")?.unwrap_or(-1), a.float("default_float", 0.0)?);
        let (values, default, kind) = match (ints, floats) {
            (Some(list), None) => (list.iter().map(|&x| x as f64).collect(), default_int as f64, Kind::Integer),
            (None, Some(list)) => (list, default_float, Kind::Real),
            _ => return Err(a.wrong("values_int64s", "or `values_floats` must be there, and not both")),
        };
        if values.len() != keys.len() {
            return Err(a.wrong("keys_int64s", format!("has {} keys for {} values", keys.len(), values.len())));
        }
        let hot = self.among(c, c.known(0)?, keys)?;
        let shape = self.shape(c.known(0)?).to_vec();
        let output = self.dense(c, &hot, values.iter().map(|value| value - default).collect(), vec![default], &shape)?;
        Ok(self.of_kind(output, kind))
    }

    /// Matrices joined along their features.
    fn side_by_side(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let sizes = a.ints("inputdimensions")?.map(<[i64]>::to_vec);
        let mut parts = Vec::new();
        for (index, known) in c.all()?.into_iter().enumerate() {
            let [n, k] = match *self.shape(known) {
                [n, k] => [n, k],
                [k] => [1, k],
                ref other => return Err(c.wrong(format!("its input of shape {other:?} is no row and no matrix"))),
            };
            if let Some(size) = sizes.as_ref().and_then(|sizes| sizes.get(index)).filter(|&&size| size != k as i64) {
                return Err(a.wrong("inputdimensions", format!("states {size} features where input {index} has {k}")));
            }
            let part = self.reshaped(c, known, &[n, k])?;
            parts.push(if self.is_real(&part) { part } else { self.push_as(c, FloatOp::Reshape, &[&part], &[n, k], Kind::Real)? });
        }
        self.joined(c, &parts, 1)
    }

    /// Elements along the last axis, by index.
    fn extract(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (data, indices) = (c.known(0)?, c.known(1)?);
        let mut shape = self.shape(data).to_vec();
        if shape.len() < 2 {
            shape.insert(0, 1);
        }
        let Some(&length) = shape.last() else { return Err(c.missing(0)) };
        let data = self.reshaped(c, data, &shape)?;
        let count = self.count(indices);
        let axis = shape.len() - 1;
        shape[axis] = count;
        match indices {
            Known::Constant(constant) => {
                let list = c.ints(constant)?.iter().map(|&index| c.index(index, length)).collect::<Result<Vec<_>, _>>()?;
                self.gathered(c, &data, axis, &list)
            }
            Known::Value(_) => {
                let outer: usize = shape[..axis].iter().product();
                let table = self.rearranged(c, &data, &[outer, length], &[1, 0], &[length, outer])?;
                let indices = self.reshaped(c, indices, &[count])?;
                let rows = self.table_rows(c, &table, &indices)?;
                self.rearranged(c, &rows, &[count, outer], &[1, 0], &shape)
            }
        }
    }

    /// The kernel of each row and each support vector: `[n, vectors]`.
    fn kernels(&mut self, c: &Context<'_>, kernel: &Kernel, vectors: &[f64]) -> Result<Known, ImportError> {
        let (rows, [n, k]) = self.features(c)?;
        if k == 0 || vectors.is_empty() || !vectors.len().is_multiple_of(k) {
            return Err(c.wrong(format!("its support vectors have {} numbers, which are no rows of {k} features", vectors.len())));
        }
        let count = vectors.len() / k;
        let shape = [n, count];
        let mut products = |weights: Vec<f64>, bias: Vec<f64>| self.dense(c, &rows, weights, bias, &shape);
        match kernel.kind.as_str() {
            "LINEAR" => products(vectors.to_vec(), vec![0.0; count]),
            "POLY" | "SIGMOID" => {
                let inner = products(vectors.iter().map(|x| kernel.gamma * x).collect(), vec![kernel.coefficient; count])?;
                if kernel.kind == "SIGMOID" { self.tanh(c, &inner) } else { self.power_of(c, &inner, kernel.degree) }
            }
            _ => {
                // −γ·|x − v|² = −γ·|x|² + 2γ·x·v − γ·|v|²
                let norms: Vec<f64> = vectors.chunks_exact(k).map(|v| -kernel.gamma * v.iter().map(|x| x * x).sum::<f64>()).collect();
                let products = products(vectors.iter().map(|x| 2.0 * kernel.gamma * x).collect(), norms)?;
                let squares = self.row_squares(c, &rows)?;
                let exponents = self.sum(c, &[(&products, 1.0), (&squares, -kernel.gamma)], 0.0)?;
                self.exp(c, &exponents)
            }
        }
    }

    fn support_regress(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let kernel = kernel(a)?;
        let weights = numbers(a, "coefficients")?.ok_or_else(|| a.wrong("coefficients", "is missing"))?;
        let supports = a.int("n_supports")?.unwrap_or(0);
        let rho = numbers(a, "rho")?.unwrap_or_default();
        let bias = rho.first().copied().unwrap_or(0.0);
        let one_class = a.flag("one_class", false)?;
        let vectors = numbers(a, "support_vectors")?.unwrap_or_default();
        let scores = if supports == 0 {
            // A linear model, whose weights stand by feature.
            let (rows, [n, k]) = self.features(c)?;
            if weights.len() != k {
                return Err(a.wrong("coefficients", format!("has {} numbers for {k} features", weights.len())));
            }
            self.dense(c, &rows, weights, vec![bias], &[n, 1])?
        } else {
            let kernels = self.kernels(c, &kernel, &vectors)?;
            let (n, count) = self.row_sizes(&kernels);
            if weights.len() != count || supports != count as i64 {
                return Err(a.wrong("coefficients", format!("has {} numbers for {count} support vectors", weights.len())));
            }
            self.dense(c, &kernels, weights, vec![bias], &[n, 1])?
        };
        if one_class {
            // 1 inside, −1 outside.
            let outside = self.negated(c, &scores)?;
            let outside = self.step(c, &outside)?;
            let output = self.sum(c, &[(&outside, -2.0)], 1.0)?;
            return Ok(self.of_kind(output, Kind::Real));
        }
        untransformed(a)?;
        Ok(scores)
    }

    /// Each pair of classes has a score, and votes for one of the two.
    fn support_classes(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        let kernel = kernel(a)?;
        let fitted = [numbers(a, "prob_a")?, numbers(a, "prob_b")?];
        if fitted.iter().flatten().any(|list| !list.is_empty()) {
            return Err(a.wrong("prob_a", "asks for probabilities, which are fitted step by step: train the model with probability=False"));
        }
        let weights = numbers(a, "coefficients")?.ok_or_else(|| a.wrong("coefficients", "is missing"))?;
        let rho = numbers(a, "rho")?.unwrap_or_default();
        let vectors = numbers(a, "support_vectors")?.unwrap_or_default();
        let counts = a.ints("vectors_per_class")?.unwrap_or_default().to_vec();
        let counts = c.sizes(&counts)?;
        let classes = counts.len();
        if classes < 2 {
            return Err(a.wrong("vectors_per_class", "is missing; linear classifiers are written as LinearClassifier"));
        }
        let labels = labels(c, a, classes)?;
        let transform = a.string("post_transform")?.unwrap_or_else(|| "NONE".into());
        if transform != "NONE" {
            return Err(a.wrong("post_transform", format!("is `{transform}`; NONE is supported")));
        }
        let kernels = self.kernels(c, &kernel, &vectors)?;
        let (n, count) = self.row_sizes(&kernels);
        let pairs: Vec<(usize, usize)> = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect();
        if counts.iter().sum::<usize>() != count || weights.len() != (classes - 1) * count || rho.len() != pairs.len() {
            return Err(c.wrong(format!(
                "its {count} support vectors, {} coefficients and {} offsets do not fit {classes} classes",
                weights.len(),
                rho.len()
            )));
        }
        let starts: Vec<usize> = (0..classes).map(|class| counts[..class].iter().sum()).collect();
        let mut matrix = vec![0.0; pairs.len() * count];
        for (pair, &(i, j)) in pairs.iter().enumerate() {
            for (class, row) in [(i, j - 1), (j, i)] {
                for vector in starts[class]..starts[class] + counts[class] {
                    matrix[pair * count + vector] = weights[row * count + vector];
                }
            }
        }
        let scores = self.dense(c, &kernels, matrix, rho, &[n, pairs.len()])?;
        let label = match labels {
            None => Known::Constant(Constant::ints(vec![0], Vec::new())),
            Some(labels) => {
                // A pair votes for its first class where its score is positive.
                let below = self.negated(c, &scores)?;
                let below = self.step(c, &below)?;
                let mut votes = vec![0.0; classes * pairs.len()];
                let mut bias = vec![0.0; classes];
                for (pair, &(i, j)) in pairs.iter().enumerate() {
                    votes[i * pairs.len() + pair] = -1.0;
                    bias[i] += 1.0;
                    votes[j * pairs.len() + pair] = 1.0;
                }
                let votes = self.dense(c, &below, votes, bias, &[n, classes])?;
                let winners = self.row_winners(c, &votes, false)?;
                self.labelled(c, &winners, &labels)?
            }
        };
        if classes > 2 {
            return Ok(vec![label, scores]);
        }
        // The score of one pair is given for both of its classes.
        if weights.iter().all(|&weight| weight >= 0.0) {
            return Err(
                a.wrong("coefficients", "has no negative number, of which ONNX Runtime makes the scores of two classes in another way")
            );
        }
        let opposite = self.negated(c, &scores)?;
        Ok(vec![label, self.joined(c, &[opposite, scores], 1)?])
    }
}

/// A list of floats, all of them finite.
fn numbers(a: &mut Attributes<'_>, name: &str) -> Result<Option<Vec<f64>>, ImportError> {
    let Some(list) = a.floats(name)? else { return Ok(None) };
    if list.iter().any(|x| !x.is_finite()) {
        return Err(a.wrong(name, "holds a number that is not finite; train or export the model again"));
    }
    Ok(Some(list.iter().map(|&x| f64::from(x)).collect()))
}

fn no_text(a: &mut Attributes<'_>, name: &str) -> Result<(), ImportError> {
    match a.strings(name)? {
        Some(list) if !list.is_empty() => Err(a.wrong(name, TEXT)),
        _ => Ok(()),
    }
}

/// Refuses a transform of one number: ONNX Runtime leaves it out.
fn untransformed(a: &mut Attributes<'_>) -> Result<(), ImportError> {
    match a.string("post_transform")? {
        Some(name) if name != "NONE" => {
            let reason = format!("is `{name}`, which runtimes read differently for one number; take it out, and apply it behind the node");
            Err(a.wrong("post_transform", reason))
        }
        _ => Ok(()),
    }
}

/// Refuses a list in which a number is there twice: which of the two counts, runtimes decide.
fn no_twins(a: &Attributes<'_>, name: &str, list: &[i64]) -> Result<(), ImportError> {
    let mut seen = HashSet::new();
    match list.iter().find(|number| !seen.insert(**number)) {
        Some(twin) => Err(a.wrong(name, format!("has {twin} twice; leave one out"))),
        None => Ok(()),
    }
}

/// The integer labels of so many classes; none where the labels are text and nothing reads them.
fn labels(c: &Context<'_>, a: &mut Attributes<'_>, count: usize) -> Result<Option<Vec<i64>>, ImportError> {
    let (ints, text) = (a.ints("classlabels_ints")?, a.strings("classlabels_strings")?.unwrap_or_default());
    let labels = match ints {
        Some(ints) if text.is_empty() => ints.to_vec(),
        None if text.is_empty() => (0..count as i64).collect(),
        _ if c.is_read(0) => return Err(a.wrong("classlabels_strings", TEXT)),
        _ => return Ok(None),
    };
    if labels.len() != count {
        return Err(a.wrong("classlabels_ints", format!("has {} labels for {count} classes", labels.len())));
    }
    // An output has 32 bits, and labels are counted from one to the next.
    if let Some(label) = labels.iter().find(|label| label.unsigned_abs() > u32::MAX.into()) {
        return Err(a.wrong("classlabels_ints", format!("has label {label}, which 32 bits do not hold; number the classes from 0")));
    }
    Ok(Some(labels))
}

fn kernel(a: &mut Attributes<'_>) -> Result<Kernel, ImportError> {
    let kind = a.string("kernel_type")?.unwrap_or_else(|| "LINEAR".into());
    if !matches!(kind.as_str(), "LINEAR" | "POLY" | "RBF" | "SIGMOID") {
        return Err(a.wrong("kernel_type", format!("is `{kind}`, which does not exist")));
    }
    let parameters = numbers(a, "kernel_params")?.unwrap_or_default();
    let parameter = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
    Ok(Kernel { kind, gamma: parameter(0), coefficient: parameter(1), degree: parameter(2) })
}
