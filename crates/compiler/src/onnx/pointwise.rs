//! Functions of each element, clips and powers.

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::sign::Sign;
use super::{ImportError, Importer, Known, broadcast};
use crate::float::FloatOp;

/// Constant exponents of one node that a function each is made for.
const MOST_EXPONENTS: usize = 16;

/// An operator that is a function of each element: its name, first operator set, attributes with their defaults (in the order in which
/// the formula takes them), formula and form.
macro_rules! function {
    ($name:literal, $since:literal, [$($attribute:expr),*], $formula:expr, $form:literal) => {
        operator($name, $form, |i, c, a| i.function(c, a, $since, &[$($attribute),*], $name, $formula).map(one))
    };
}

pub(super) const OPERATORS: &[Operator] = &[
    operator("Abs", "any tensor", |i, c, _| {
        c.arity(1, 1)?;
        i.magnitude(c, c.known(0)?).map(one)
    }),
    function!("Acos", 7, [], |x, _| libm::acos(x), "any tensor"),
    function!("Acosh", 9, [], |x, _| libm::acosh(x), "any tensor"),
    function!("Asin", 7, [], |x, _| libm::asin(x), "any tensor"),
    function!("Asinh", 9, [], |x, _| libm::asinh(x), "any tensor"),
    function!("Atan", 7, [], |x, _| libm::atan(x), "any tensor"),
    function!("Atanh", 9, [], |x, _| libm::atanh(x), "any tensor"),
    function!("Ceil", 7, [], |x, _| libm::ceil(x), "any tensor"),
    function!("Celu", 12, [("alpha", 1.0)], |x, p| x.max(0.0) + (p[0] * libm::expm1(x / p[0])).min(0.0), "any tensor"),
    operator("Clip", "any bounds", |i, c, a| i.clip(c, a).map(one)),
    function!("Cos", 7, [], |x, _| libm::cos(x), "any tensor"),
    function!("Cosh", 9, [], |x, _| libm::cosh(x), "any tensor"),
    function!("Elu", 7, [("alpha", 1.0)], formula::elu, "any tensor"),
    function!("Erf", 9, [], |x, _| libm::erf(x), "any tensor"),
    function!("Exp", 7, [], formula::exp, "any tensor"),
    function!("Floor", 7, [], |x, _| libm::floor(x), "any tensor"),
    operator("Gelu", "exact or by `tanh`", |i, c, a| i.gelu(c, a).map(one)),
    function!("HardSigmoid", 7, [("alpha", 0.2), ("beta", 0.5)], formula::hard_sigmoid, "any tensor"),
    function!("HardSwish", 14, [], |x, _| x * (x / 6.0 + 0.5).clamp(0.0, 1.0), "any tensor"),
    operator("IsInf", "false everywhere: no number is infinite", |i, c, a| {
        c.since(10)?;
        a.flag("detect_negative", true)?;
        a.flag("detect_positive", true)?;
        i.nowhere(c).map(one)
    }),
    operator("IsNaN", "false everywhere: every number is one", |i, c, _| {
        c.since(9)?;
        i.nowhere(c).map(one)
    }),
    function!("LeakyRelu", 7, [("alpha", 0.01)], formula::leaky_relu, "any tensor"),
    function!("Log", 7, [], formula::log, "any tensor"),
    function!("Mish", 18, [], |x, p| x * libm::tanh(formula::softplus(x, p)), "any tensor"),
    operator("PRelu", "any slopes; broadcast", |i, c, _| i.prelu(c).map(one)),
    operator("Pow", "constant exponents; computed ones where the base is certain to be positive", |i, c, _| i.power(c).map(one)),
    function!("Reciprocal", 7, [], |x, _| 1.0 / x, "any tensor"),
    operator("Relu", "any tensor", |i, c, _| {
        c.arity(1, 1)?;
        i.relu(c, c.known(0)?).map(one)
    }),
    function!("Round", 11, [], |x, _| libm::rint(x), "any tensor; halves to the even neighbour"),
    function!(
        "Selu",
        7,
        [("alpha", 1.673_263_2), ("gamma", 1.050_701)],
        |x, p| p[1] * if x < 0.0 { p[0] * libm::expm1(x) } else { x },
        "any tensor"
    ),
    function!(
        "Shrink",
        9,
        [("bias", 0.0), ("lambd", 0.5)],
        |x, p| if x < -p[1] {
            x + p[0]
        } else if x > p[1] {
            x - p[0]
        } else {
            0.0
        },
        "any tensor"
    ),
    function!("Sigmoid", 7, [], formula::sigmoid, "any tensor"),
    operator("Sign", "any tensor", |i, c, _| i.sign_of(c).map(one)),
    function!("Sin", 7, [], |x, _| libm::sin(x), "any tensor"),
    function!("Sinh", 9, [], |x, _| libm::sinh(x), "any tensor"),
    function!("Softplus", 7, [], formula::softplus, "any tensor"),
    function!("Softsign", 7, [], formula::softsign, "any tensor"),
    operator("Sqrt", "any tensor", |i, c, _| {
        c.arity(1, 1)?;
        i.each(c, FloatOp::Sqrt, &[c.known(0)?]).map(one)
    }),
    function!("Swish", 24, [("alpha", 1.0)], |x, p| x * formula::sigmoid(p[0] * x, p), "any tensor"),
    function!("Tan", 7, [], |x, _| libm::tan(x), "any tensor"),
    function!("Tanh", 7, [], formula::tanh, "any tensor"),
    function!("ThresholdedRelu", 10, [("alpha", 1.0)], formula::thresholded_relu, "any tensor"),
];

/// Formulas that more than one operator has.
pub(super) mod formula {
    pub(in super::super) fn elu(x: f64, p: &[f64]) -> f64 {
        if x < 0.0 { p[0] * libm::expm1(x) } else { x }
    }

    pub(in super::super) fn exp(x: f64, _: &[f64]) -> f64 {
        libm::exp(x)
    }

    pub(in super::super) fn hard_sigmoid(x: f64, p: &[f64]) -> f64 {
        (p[0] * x + p[1]).clamp(0.0, 1.0)
    }

    pub(in super::super) fn leaky_relu(x: f64, p: &[f64]) -> f64 {
        if x < 0.0 { p[0] * x } else { x }
    }

    pub(in super::super) fn log(x: f64, _: &[f64]) -> f64 {
        libm::log(x)
    }

    /// `1 / (1 + e^−x)`.
    pub(in super::super) fn sigmoid(x: f64, _: &[f64]) -> f64 {
        1.0 / (1.0 + libm::exp(-x))
    }

    /// `ln(1 + e^x)`.
    pub(in super::super) fn softplus(x: f64, _: &[f64]) -> f64 {
        x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
    }

    pub(in super::super) fn softsign(x: f64, _: &[f64]) -> f64 {
        x / (1.0 + x.abs())
    }

    pub(in super::super) fn tanh(x: f64, _: &[f64]) -> f64 {
        libm::tanh(x)
    }

    pub(in super::super) fn thresholded_relu(x: f64, p: &[f64]) -> f64 {
        if x > p[0] { x } else { 0.0 }
    }
}

impl Importer<'_> {
    pub(super) fn exp(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.map(c, x, "Exp", Vec::new(), formula::exp)
    }

    pub(super) fn sigmoid(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.map(c, x, "Sigmoid", Vec::new(), formula::sigmoid)
    }

    pub(super) fn tanh(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.map(c, x, "Tanh", Vec::new(), formula::tanh)
    }

    pub(super) fn log(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.map(c, x, "Log", Vec::new(), formula::log)
    }

    /// `x^exponent` of real numbers.
    pub(super) fn power_of(&mut self, c: &Context<'_>, x: &Known, exponent: f64) -> Result<Known, ImportError> {
        match exponent {
            1.0 => Ok(x.clone()),
            2.0 => self.each(c, FloatOp::Product, &[x, x]),
            0.5 => self.each(c, FloatOp::Sqrt, &[x]),
            _ => self.map(c, x, "Pow", vec![exponent], |x, p| libm::pow(x, p[0])),
        }
    }

    /// A node that is a function of each element of its input.
    fn function(
        &mut self,
        c: &Context<'_>,
        a: &mut Attributes<'_>,
        since: i64,
        attributes: &[(&str, f32)],
        name: &'static str,
        formula: fn(f64, &[f64]) -> f64,
    ) -> Result<Known, ImportError> {
        c.since(since)?;
        c.arity(1, 1)?;
        let parameters = attributes.iter().map(|&(name, default)| a.float(name, default)).collect::<Result<_, _>>()?;
        self.map(c, c.known(0)?, name, parameters, formula)
    }

    /// Sign: `[x ≥ 0] − [−x ≥ 0]`, which is exact.
    fn sign_of(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.since(9)?;
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let opposite = self.negated(c, x)?;
        let (first, second) = (self.step(c, x)?, self.step(c, &opposite)?);
        let output = self.minus(c, &first, &second)?;
        Ok(self.of_kind(output, self.kind(x)))
    }

    /// Truth values that are all false.
    fn nowhere(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        if let Known::Constant(constant) = x {
            c.floats(constant)?;
        }
        Ok(Known::Constant(Constant::ints(self.shape(x).to_vec(), vec![0; self.count(x)])))
    }

    fn gelu(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        match a.string("approximate")?.as_deref() {
            None | Some("none") => {
                let formula = |x: f64, _: &[f64]| 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2));
                self.function(c, a, 20, &[], "Gelu", formula)
            }
            Some("tanh") => {
                let formula =
                    |x: f64, _: &[f64]| 0.5 * x * (1.0 + libm::tanh((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)));
                self.function(c, a, 20, &[], "Gelu tanh", formula)
            }
            Some(other) => Err(a.wrong("approximate", format!("is `{other}`, which does not exist"))),
        }
    }

    /// Bounds are attributes until operator set 10, inputs from there on; one as large as a float may be is none.
    fn clip(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, if c.opset < 11 { 1 } else { 3 })?;
        a.exists("min", 7..=10)?;
        a.exists("max", 7..=10)?;
        let x = c.known(0)?;
        let stated = [a.float("min", f32::MIN)?, a.float("max", f32::MAX)?];
        let mut bounds = Vec::new();
        for (index, stated) in stated.into_iter().enumerate() {
            let bound = c.optional(index + 1);
            if bound.is_some_and(|bound| self.count(bound) != 1) {
                return Err(c.wrong(format!("its bound `{}` is not one number", c.input_name(index + 1))));
            }
            bounds.push(match bound {
                None if self.is_real(x) => Some(Known::Constant(Constant::floats(Vec::new(), vec![stated]))),
                bound => bound.cloned(),
            });
        }
        if let [Some(Known::Constant(min)), Some(Known::Constant(max))] = bounds.as_slice()
            && let (Elements::Floats(min), Elements::Floats(max)) = (&min.elements, &max.elements)
        {
            let [min, max] = [min[0], max[0]].map(|bound| if bound.abs() >= f64::from(f32::MAX) { bound * f64::INFINITY } else { bound });
            if min.is_nan() || max.is_nan() || min == f64::INFINITY || max == f64::NEG_INFINITY {
                return Err(c.wrong(format!("its bounds {min} and {max} are not in order")));
            }
            let op = match (min, max) {
                (f64::NEG_INFINITY, f64::INFINITY) => return Ok(x.clone()),
                (0.0, f64::INFINITY) => FloatOp::Relu,
                // The upper bound wins.
                _ => FloatOp::Clip { min: min.min(max), max },
            };
            return self.each(c, op, &[x]);
        }
        let shape = self.shape(x).to_vec();
        let mut output = x.clone();
        for (bound, largest) in bounds.iter().zip([true, false]) {
            let is_none = |constant: &Constant| match &constant.elements {
                Elements::Floats(list) => list[0] == if largest { f64::from(f32::MIN) } else { f64::from(f32::MAX) },
                Elements::Ints(list) => list[0].unsigned_abs() >= 1 << 53 && (list[0] < 0) == largest,
            };
            if let Some(bound) = bound.as_ref().filter(|bound| !bound.constant().is_some_and(is_none)) {
                output = self.extreme(c, &output, bound, largest)?;
                output = self.reshaped(c, &output, &shape)?;
            }
        }
        Ok(output)
    }

    /// `slope·x + (1 − slope)·max(x, 0)`; with a computed slope `max(x, 0) − slope·max(−x, 0)`.
    fn prelu(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (x, slope) = (c.known(0)?, c.known(1)?);
        let (shape, slopes) = (self.shape(x).to_vec(), self.shape(slope));
        if broadcast::shape(slopes, &shape).as_ref() != Some(&shape) {
            return Err(c.wrong(format!("its slopes of shape {slopes:?} do not broadcast to {shape:?}")));
        }
        let rising = self.relu(c, x)?;
        match slope {
            Known::Constant(constant) => {
                let list = broadcast::repeat(&c.numbers(constant)?, &constant.shape, &shape);
                let rest = list.iter().map(|slope| 1.0 - slope).collect();
                self.weighted(c, &[(x, list), (&rising, rest)], &[0.0])
            }
            Known::Value(_) => {
                let falling = self.minus(c, &rising, x)?;
                let falling = self.product(c, slope, &falling)?;
                self.minus(c, &rising, &falling)
            }
        }
    }

    fn power(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let (base, exponent) = (c.known(0)?, c.known(1)?);
        let shape = self.common_shape(c, &[base, exponent])?;
        let is_real = self.is_real(base);
        if let Some(exponent) = exponent.constant().and_then(Constant::uniform) {
            let x = self.expanded(c, base, &shape)?;
            return self.constant_power(c, &x, exponent);
        }
        let is_positive = is_real && self.sign(base) >= Sign::NonNegative;
        if let (Some(constant), Known::Value(_), false) = (exponent.constant(), base, is_positive) {
            let list = broadcast::repeat(&c.numbers(constant)?, &constant.shape, &shape);
            let mut exponents = list.clone();
            exponents.sort_by(f64::total_cmp);
            exponents.dedup();
            if (1..=MOST_EXPONENTS).contains(&exponents.len()) {
                // The elements of each exponent by themselves.
                let x = self.expanded(c, base, &shape)?;
                let (mut parts, mut places, mut count) = (Vec::new(), vec![0; list.len()], 0);
                for exponent in exponents {
                    let indices: Vec<usize> = (0..list.len()).filter(|&index| list[index] == exponent).collect();
                    for &index in &indices {
                        places[index] = count;
                        count += 1;
                    }
                    let picked = self.moved(c, &[&x], &indices, &[indices.len()])?;
                    parts.push(self.constant_power(c, &picked, exponent)?);
                }
                let parts: Vec<&Known> = parts.iter().collect();
                return self.moved(c, &parts, &places, &shape);
            }
        }
        if !is_real {
            return Err(c.wrong("its many or computed exponents of integers are not supported; cast them to floats before"));
        }
        let logarithm = match base {
            Known::Constant(constant) if c.numbers(constant)?.iter().all(|x| *x > 0.0) => self.log(c, base)?,
            Known::Value(_) if self.sign(base) >= Sign::NonNegative => self.log(c, base)?,
            _ => {
                return Err(c.wrong(
                    "its base may be negative, of which there is no power with many or computed exponents; give one constant \
                     exponent, or make the base positive, for instance by Exp, Softplus or a bound",
                ));
            }
        };
        let product = self.product(c, &logarithm, exponent)?;
        self.exp(c, &product)
    }

    /// Each element to one power.
    fn constant_power(&mut self, c: &Context<'_>, x: &Known, exponent: f64) -> Result<Known, ImportError> {
        let is_whole = exponent >= 0.0 && exponent.fract() == 0.0 && exponent <= 62.0;
        match exponent {
            _ if self.is_real(x) => self.power_of(c, x, exponent),
            _ if is_whole => self.whole_power(c, x, exponent as u32),
            _ => Err(c.wrong(format!("its exponent {exponent} of integers is not supported; cast them to floats before"))),
        }
    }

    /// Integers to a whole power, by squaring.
    fn whole_power(&mut self, c: &Context<'_>, base: &Known, exponent: u32) -> Result<Known, ImportError> {
        if exponent == 0 {
            return self.sum(c, &[(base, 0.0)], 1.0);
        }
        let mut power = base.clone();
        for bit in (0..exponent.ilog2()).rev() {
            power = self.each(c, FloatOp::Product, &[&power, &power])?;
            if exponent >> bit & 1 == 1 {
                power = self.each(c, FloatOp::Product, &[&power, base])?;
            }
        }
        Ok(power)
    }
}
