//! Every gadget: an honest witness is accepted, every mutated wire is refused, and over a small field every assignment is
//! tried: each input has exactly one output, the one that the executor defines.

use ark_bn254::Fr;
use ark_ff::{Field, One, UniformRand, Zero};
use rand::{Rng, SeedableRng, rngs::StdRng};
use zkslice_circuit::gadgets::{self, DigitTables};
use zkslice_circuit::{Builder, Circuit, CircuitError, ConstraintBuilder, Int, Interval, WitnessBuilder};

/// The constraints of a gadget whose arguments are wires 0.. proven to lie in `intervals`.
fn shape(intervals: &[Interval], gadget: impl FnOnce(&mut ConstraintBuilder, &[Int]) -> Result<(), CircuitError>) -> Circuit {
    let mut shape = ConstraintBuilder::new();
    let arguments: Vec<Int> = intervals
        .iter()
        .map(|interval| {
            let wire = shape.given(None);
            shape.anchored(&wire, *interval)
        })
        .collect();
    gadget(&mut shape, &arguments).unwrap();
    shape.finish()
}

/// Every assignment modulo `prime` of the wires after `fixed` that the constraints accept.
fn solutions(circuit: &Circuit, fixed: &[i64], prime: u64) -> Vec<Vec<u64>> {
    let start: Vec<u64> = fixed.iter().map(|v| v.rem_euclid(prime as i64) as u64).collect();
    circuit.solutions_modulo(&start, prime)
}

/// What a witness builder says of the gadget at these arguments: all of its wires, or nothing where it refuses.
fn traced(arguments: &[i64], gadget: impl FnOnce(&mut WitnessBuilder, &[i64]) -> Result<(), CircuitError>) -> Option<Vec<i64>> {
    let mut trace = WitnessBuilder::new();
    for x in arguments {
        trace.given(Some(*x));
    }
    let refused = gadget(&mut trace, arguments);
    assert!(matches!(refused, Ok(()) | Err(CircuitError::OutOfRange { .. })), "{refused:?}");
    refused.ok().map(|()| trace.finish().small)
}

/// Wires as they are modulo a prime.
fn modulo(wires: &[i64], prime: u64) -> Vec<u64> {
    wires.iter().map(|v| v.rem_euclid(prime as i64) as u64).collect()
}

fn signed(value: u64, prime: u64) -> i64 {
    if value > prime / 2 { value as i64 - prime as i64 } else { value as i64 }
}

#[test]
fn relu_is_a_function() {
    for w in [2u32, 3] {
        let prime = 257;
        let limit = (1 << (2 * w)) - 1;
        let circuit = shape(&[Interval { lo: -limit, hi: limit }], |b, args| gadgets::relu(b, &args[0], w, w).map(drop));
        for acc in -limit..=limit {
            let q = gadgets::requant(acc, w);
            let expected: Vec<(i64, i64)> = if q.abs() < 1 << w { vec![(q, q.max(0))] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[acc], prime).iter().map(|s| (signed(s[1], prime), signed(s[2], prime))).collect();
            assert_eq!(found, expected, "w = {w}, acc = {acc}");
        }
    }
}

#[test]
fn relu_without_shift_is_a_function() {
    let (w, prime) = (4, 257);
    let circuit = shape(&[Interval { lo: -40, hi: 40 }], |b, args| gadgets::relu(b, &args[0], 0, w).map(drop));
    for x in -40..=40i64 {
        let expected: Vec<i64> = if x.abs() < 16 { vec![x.max(0)] } else { vec![] };
        let found: Vec<_> = solutions(&circuit, &[x], prime).iter().map(|s| signed(s[1], prime)).collect();
        assert_eq!(found, expected, "x = {x}");
    }
}

#[test]
fn requantise_is_a_function() {
    for shift in [0u32, 3] {
        let (w, prime) = (3, 1009);
        let circuit = shape(&[Interval { lo: -100, hi: 100 }], |b, args| gadgets::requantise(b, &args[0], shift, w).map(drop));
        for acc in -100..=100i64 {
            let q = gadgets::requant(acc, shift);
            let expected: Vec<i64> = if (-4..4).contains(&q) { vec![q] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[acc], prime).iter().map(|s| signed(s[1], prime)).collect();
            assert_eq!(found, expected, "shift = {shift}, acc = {acc}");
        }
    }
}

#[test]
fn max_is_a_function() {
    for (limbs, w) in [(1u32, 2u32), (2, 2), (3, 1)] {
        let prime = 131;
        let interval = Interval { lo: -20, hi: 20 };
        let circuit = shape(&[interval, interval], |b, args| gadgets::max(b, &args[0], &args[1], limbs, w).map(drop));
        for (x, y) in (-20..=20i64).step_by(3).flat_map(|x| (-20..=20i64).map(move |y| (x, y))) {
            let expected: Vec<i64> = if (x - y).abs() < 1 << (w * limbs) { vec![x.max(y)] } else { vec![] };
            let found: Vec<_> = solutions(&circuit, &[x, y], prime).iter().map(|s| signed(s[2], prime)).collect();
            assert_eq!(found, expected, "limbs = {limbs}, max({x}, {y})");
        }
    }
}

/// A bound on one side, on both, as narrow as a point, and none; up to three limbs.
#[test]
fn clip_is_a_function() {
    let bounds = [(None, Some(3)), (Some(-2), None), (Some(-2), Some(3)), (Some(1), Some(1)), (None, None)];
    for (limbs, w, prime, size) in [(1u32, 2u32, 67, 12i64), (2, 1, 23, 5), (3, 1, 31, 7)] {
        let circuit_of = |least: Option<i64>, most: Option<i64>| {
            shape(&[Interval { lo: -size, hi: size }], |b, args| gadgets::clip(b, &args[0], least, most, limbs, w).map(drop))
        };
        for (least, most) in bounds {
            let circuit = circuit_of(least, most);
            for x in -size..=size {
                let far = |bound: Option<i64>, x: i64| bound.is_some_and(|bound| (x - bound).abs() >= 1 << (w * limbs));
                let raised = least.map_or(x, |least| x.max(least));
                let provable = !far(least, x) && !far(most, raised);
                let found = solutions(&circuit, &[x], prime);
                assert_eq!(found.len(), usize::from(provable), "{limbs} limbs, {x} in {least:?}, {most:?}");
                let (Some(wires), Some(most), None) = (found.first(), most, least) else {
                    continue;
                };
                // The wire is the larger of the negated numbers.
                assert_eq!(-signed(wires[1], prime), x.min(most));
            }
        }
    }
}

/// A function at random, with values that spread over all of the range table or part of it.
fn any_function(rng: &mut StdRng, count: usize, w: u32) -> Vec<i64> {
    let (spread, least) = (rng.gen_range(1..=1i64 << w), rng.gen_range(-(1i64 << w)..=1));
    (0..count).map(|_| least + rng.gen_range(0..spread)).collect()
}

/// The stride that just holds arguments of f and accumulators whose argument is at most `reach`, and these accumulators.
fn tightest(first: i64, count: usize, reach: i64, shift: u32) -> (i64, Interval) {
    let farthest = first.abs().max((first + count as i64 - 1).abs());
    let stride = (farthest + reach + 1).max(2 * farthest + 1);
    let (reach, half) = (stride - farthest - 1, if shift == 0 { 0 } else { 1 << (shift - 1) });
    (stride, Interval { lo: -(reach << shift) - half, hi: (reach << shift) + (half - 1).max(0) })
}

/// `docs/proof-system.md` 4: for every accumulator whose argument f has there is one assignment, the executor's; for every other one there
/// is none. The stride is the smallest that the gadget takes, and one accumulator more on either side is refused.
#[test]
fn functions_are_functions() {
    let mut rng = StdRng::seed_from_u64(21);
    for (w, prime, counts) in [(1u32, 251u64, vec![1usize, 2, 5]), (2, 1021, vec![1, 4, 7]), (3, 4001, vec![11])] {
        for (shift, count) in [0, w].into_iter().flat_map(|shift| counts.iter().map(move |count| (shift, *count))) {
            for first in [-(count as i64) - 1, -(count as i64 / 2), 0, 2] {
                let values = any_function(&mut rng, count, w);
                let last = first + count as i64 - 1;
                let (stride, accumulators) = tightest(first, count, first.abs().max(last.abs()) + 2, shift);
                let circuit = shape(&[accumulators], |b, args| {
                    let f = gadgets::FunctionTable::new(b, first, &values, stride)?;
                    let y = gadgets::function(b, &args[0], &f, shift, w)?;
                    let (least, most) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
                    assert_eq!(y.range(), Some(Interval { lo: least, hi: most }));
                    Ok(())
                });
                for acc in accumulators.lo..=accumulators.hi {
                    let q = gadgets::requant(acc, shift);
                    let expected = (first..=last).contains(&q).then(|| {
                        let y = values[(q - first) as usize];
                        modulo(&if shift == 0 { vec![acc, y] } else { vec![acc, q, y] }, prime)
                    });
                    let found = solutions(&circuit, &[acc], prime);
                    assert_eq!(found, Vec::from_iter(expected), "w = {w}, shift {shift}, acc = {acc}, f({first}..) = {values:?}");
                    let trace = traced(&[acc], |b, args| {
                        let f = gadgets::FunctionTable::new(b, first, &values, stride)?;
                        gadgets::function(b, &args[0], &f, shift, w).map(drop)
                    });
                    assert_eq!(trace.map(|wires| modulo(&wires, prime)), found.first().cloned());
                }
                for (lo, hi) in [(accumulators.lo - 1, accumulators.hi), (accumulators.lo, accumulators.hi + 1)] {
                    let mut b = ConstraintBuilder::new();
                    let wire = b.given(None);
                    let acc = b.anchored(&wire, Interval { lo, hi });
                    let f = gadgets::FunctionTable::new(&mut b, first, &values, stride).unwrap();
                    assert!(matches!(gadgets::function(&mut b, &acc, &f, shift, w), Err(CircuitError::TooWide { .. })));
                }
            }
        }
    }
}

/// The rows of [`gadgets::function`] without what the gadget checks, and without the value's own lookup if that is left out.
fn unchecked_function(accumulators: Interval, first: i64, values: &[i64], stride: i64, w: u32, own_lookup: bool) -> Circuit {
    shape(&[accumulators], |b, args| {
        let entries: Vec<i64> = (first..).zip(values).map(|(j, f)| j + stride * f).collect();
        let table = b.table(&entries)?;
        let (q, y) = (b.given(None), b.given(None));
        let packed = b.combine(&[(1, &q), (stride, &y)], 0)?;
        let position = b.constant(0);
        b.lookup_entry(table, &position, &packed)?;
        if own_lookup {
            let above = b.combine(&[(1, &y)], -values.iter().min().unwrap())?;
            b.lookup(w, &above)?;
        }
        let remainder = b.combine(&[(1, &args[0]), (-(1 << w), &q)], 1 << (w - 1))?;
        b.lookup(w, &remainder)
    })
}

/// What each of the gadget's conditions holds off. With a stride of 2^w, or any that accumulators reach beyond, an argument is answered by
/// another one's value. Without the value's own lookup the value is a fraction of the prover's choice.
#[test]
fn attack_functions_with_a_small_stride_or_free_values() {
    let mut rng = StdRng::seed_from_u64(22);
    let (w, prime) = (2u32, 509u64);
    let (first, count) = (-2i64, 4usize);
    let last = first + count as i64 - 1;
    let honest = |values: &[i64], acc: i64| {
        let q = gadgets::requant(acc, w);
        (first..=last).contains(&q).then(|| modulo(&[acc, q, values[(q - first) as usize]], prime))
    };
    let forged = |circuit: &Circuit, values: &[i64], accumulators: Interval| {
        let false_ones = |acc: &i64| solutions(circuit, &[*acc], prime).iter().any(|found| Some(found) != honest(values, *acc).as_ref());
        (accumulators.lo..=accumulators.hi).filter(false_ones).count()
    };
    for _ in 0..20 {
        let base = rng.gen_range(-9..9);
        let values = [3, rng.gen_range(0..4), rng.gen_range(0..4), 0].map(|f| base + f);
        // 2^w, which is as many as f has arguments; then strides up to the first that the gadget takes.
        let reach = 6;
        let (enough, accumulators) = tightest(first, count, reach, w);
        assert_eq!(accumulators, Interval { lo: -26, hi: 25 });
        for stride in 1 << w..enough {
            let circuit = unchecked_function(accumulators, first, &values, stride, w, true);
            assert!(forged(&circuit, &values, accumulators) > 0, "stride {stride}, f = {values:?}");
            let mut b = ConstraintBuilder::new();
            let wire = b.given(None);
            let acc = b.anchored(&wire, accumulators);
            match gadgets::FunctionTable::new(&mut b, first, &values, stride) {
                Ok(f) => assert!(matches!(gadgets::function(&mut b, &acc, &f, w, w), Err(CircuitError::TooWide { .. }))),
                Err(error) => assert!(matches!(error, CircuitError::Unsupported { .. }) && stride <= 4, "{error}"),
            }
        }
        let sound = unchecked_function(accumulators, first, &values, enough, w, true);
        assert_eq!(forged(&sound, &values, accumulators), 0, "f = {values:?}");
        let free = unchecked_function(accumulators, first, &values, enough, w, false);
        assert_eq!(forged(&free, &values, accumulators), 52, "every accumulator has values of the prover's choice");
    }
}

/// Tables whose entries would not be different integers below 2^62 are none, and neither are values that no range table holds.
#[test]
fn impossible_functions_are_refused() {
    let refused = |first: i64, values: &[i64], stride: i64| {
        let mut b = ConstraintBuilder::new();
        let constraints = gadgets::FunctionTable::new(&mut b, first, values, stride).map(drop);
        assert_eq!(gadgets::FunctionTable::new(&mut WitnessBuilder::new(), first, values, stride).map(drop), constraints);
        matches!(constraints, Err(CircuitError::Unsupported { .. }))
    };
    assert!(refused(0, &[], 9));
    assert!(refused(0, &[1; 5], 8) && !refused(0, &[1; 5], 9), "the stride must be above twice the farthest argument");
    assert!(refused(-4, &[1; 5], 8) && !refused(-4, &[1; 5], 9));
    for stride in [0, -1, i64::MIN] {
        assert!(refused(0, &[1], stride), "{stride}");
    }
    assert!(!refused(0, &[(1 << 40) - 1], 1 << 22) && refused(0, &[1 << 40], 1 << 22) && refused(0, &[-1 << 40], 1 << 22));
    for extreme in [i64::MIN, i64::MAX] {
        assert!(
            refused(extreme, &[1], i64::MAX) && refused(extreme, &[1, 2], 1) && refused(0, &[extreme], 3) && refused(0, &[0, extreme], 3)
        );
    }
    let mut b = ConstraintBuilder::new();
    let acc = b.constant(1);
    for (values, w, shift, possible) in [([0, 15], 4, 0, true), ([0, 16], 4, 0, false), ([0, 1], 4, 4, true), ([0, 1], 4, 3, false)] {
        let f = gadgets::FunctionTable::new(&mut b, 0, &values, 40).unwrap();
        let result = gadgets::function(&mut b, &acc, &f, shift, w).map(drop);
        assert_eq!(result.is_ok(), possible, "{values:?}");
        assert!(matches!(result, Ok(()) | Err(CircuitError::Unsupported { .. })));
    }
    let (fresh, f) = (b.given(None), gadgets::FunctionTable::new(&mut b, 0, &[0, 1], 40).unwrap());
    assert!(matches!(gadgets::function(&mut b, &fresh, &f, 0, 4), Err(CircuitError::NotIntegral { .. })));
    for entries in [vec![], vec![3, 4, 3], vec![0; 2]] {
        assert!(matches!(b.table(&entries), Err(CircuitError::Unsupported { .. })));
    }
    // As many tables as a key file may have, and no more.
    let mut b = ConstraintBuilder::new();
    let mut trace = WitnessBuilder::new();
    for i in 0..1 << 10 {
        let (known, traced) = (b.table(&[i, -1]).unwrap(), trace.table(&[i, -1]).unwrap());
        assert_eq!((known, traced), (b.table(&[i, -1]).unwrap(), trace.table(&[i, -1]).unwrap()), "one table for the same entries");
    }
    assert!(b.table(&[1 << 20, -1]).is_err() && trace.table(&[1 << 20, -1]).is_err() && b.table(&[7, -1]).is_ok());
}

#[test]
fn products_are_functions() {
    let interval = Interval { lo: -9, hi: 9 };
    let circuit = shape(&[interval, interval], |b, args| {
        let z = gadgets::multiply(b, &args[0], &args[1])?;
        assert_eq!(z.range(), Some(Interval { lo: -81, hi: 81 }));
        Ok(())
    });
    for (x, y) in (-9..=9).flat_map(|x| (-9..=9).map(move |y| (x, y))) {
        assert_eq!(solutions(&circuit, &[x, y], 251), [modulo(&[x, y, x * y], 251)]);
    }
    let mut b = ConstraintBuilder::new();
    let wide = b.given(None);
    let wide = b.anchored(&wide, Interval { lo: -1 << 31, hi: 0 });
    assert_eq!(gadgets::multiply(&mut b, &wide, &wide), Err(CircuitError::Overflow));
}

/// Quotients of either rounding, remainders of one to three limbs, dividends of either sign, and divisors that are negative, 0, 1 or too
/// large: one assignment where there is such a quotient, none where there is not.
#[test]
fn quotients_are_functions() {
    let prime = 1021;
    let forms = [(1, 1), (3, 1), (1, 2)].map(|form| [(2u32, 1u32), (2, 2), (1, 3)].map(|limbs| (form, limbs)));
    for (nearest, ((factor, least_divisor), (w, limbs))) in forms.into_iter().flatten().flat_map(|form| [(false, form), (true, form)]) {
        let least = if w == 1 { -1 } else { -2 };
        let division = gadgets::Division { factor, nearest, least, limbs, least_divisor };
        let circuit = shape(&[Interval { lo: -21, hi: 21 }, Interval { lo: -3, hi: 19 }], |b, args| {
            let q = gadgets::divide(b, &args[0], &args[1], &division, w)?;
            assert_eq!(q.range(), Some(Interval { lo: least, hi: least + (1 << w) - 1 }));
            Ok(())
        });
        let mut provable = 0;
        for (x, y) in (-21..=21i64).flat_map(|x| (-3..=19i64).map(move |y| (x, y))) {
            let (dividend, divisor) = if nearest { (2 * factor * x + y, 2 * y) } else { (factor * x, y) };
            let apart = y < least_divisor || least_divisor > 1 && y - least_divisor >= 1 << (w * limbs);
            let expected = (y > 0 && !apart).then(|| (dividend.div_euclid(divisor), dividend.rem_euclid(divisor))).filter(|(q, r)| {
                let limit = 1 << (w * limbs);
                (least..least + (1 << w)).contains(q) && *r < limit && divisor - 1 - r < limit
            });
            let found = solutions(&circuit, &[x, y], prime);
            let quotients: Vec<(i64, i64)> = found.iter().map(|s| (signed(s[2], prime), signed(s[3], prime))).collect();
            assert_eq!(quotients, Vec::from_iter(expected), "{division:?}, w = {w}: {x} / {y}");
            let trace = traced(&[x, y], |b, args| gadgets::divide(b, &args[0], &args[1], &division, w).map(drop));
            assert_eq!(trace.map(|wires| modulo(&wires, prime)), found.first().cloned(), "{division:?}, w = {w}: {x} / {y}");
            provable += quotients.len();
        }
        assert!(provable > 4, "{division:?}: {provable}");
    }
    let mut b = ConstraintBuilder::new();
    let (x, y) = (b.constant(0), b.constant(1));
    let kept = gadgets::Division { factor: 1, nearest: true, least: 0, limbs: 1, least_divisor: 1 };
    let factors = [0, -1, 1 << 61, i64::MAX].map(|factor| gadgets::Division { factor, ..kept });
    let leasts = [i64::MAX, i64::MIN].map(|least| gadgets::Division { least, ..kept });
    let limbs = [0, 4].map(|limbs| gadgets::Division { limbs, ..kept });
    let divisors = [0, -1, 1 << 61].map(|least_divisor| gadgets::Division { least_divisor, ..kept });
    for division in factors.into_iter().chain(leasts).chain(limbs).chain(divisors) {
        assert!(matches!(gadgets::divide(&mut b, &x, &y, &division, 8), Err(CircuitError::Unsupported { .. })), "{division:?}");
    }
    let division = gadgets::Division { limbs: 3, ..kept };
    assert!(matches!(gadgets::divide(&mut b, &x, &y, &division, 21), Err(CircuitError::Unsupported { .. })), "63 bits of limbs");
}

/// A quotient whose remainder is bounded on one side only is any of several: what each of the two bounds is for.
#[test]
fn attack_g4_one_sided_remainders() {
    let (w, prime) = (3u32, 1021u64);
    let one_sided = |below: bool| {
        let interval = Interval { lo: 0, hi: 20 };
        shape(&[interval, interval], |b, args| {
            let (q, r) = (b.given(None), b.given(None));
            b.lookup(w, &q)?;
            let bounded = if below { b.combine(&[(1, &args[1]), (-1, &r)], -1)? } else { r.clone() };
            b.lookup(w, &bounded)?;
            let rest = b.combine(&[(1, &args[0]), (-1, &r)], 0)?;
            b.product(&q, &args[1], &rest)
        })
    };
    assert!(solutions(&one_sided(true), &[17, 3], prime).len() > 1 && solutions(&one_sided(false), &[17, 3], prime).len() > 1);
    assert!(!solutions(&one_sided(false), &[5, 0], prime).is_empty(), "and a divisor of 0 has a quotient");
}

#[test]
fn roots_are_functions() {
    let forms =
        [(1u32, 1i64, 0i64, 251u64), (2, 1, 0, 509), (3, 1, 0, 1021), (3, 3, 0, 1021), (2, 5, 0, 1021), (3, 1, 3, 1021), (2, 5, 1, 1021)];
    for (w, factor, least, prime) in forms {
        let root = gadgets::Root { factor, least };
        let circuit = shape(&[Interval { lo: -9, hi: 90 }], |b, args| {
            let y = gadgets::sqrt(b, &args[0], &root, w)?;
            assert_eq!(y.range(), Some(Interval { lo: least, hi: least + (1 << w) - 1 }));
            Ok(())
        });
        for x in -9..=90i64 {
            let y = (0..100).take_while(|y| y * y <= factor * x).last();
            let limit = 1 << w;
            let expected =
                y.filter(|y| (least..least + limit).contains(y) && factor * x - y * y < limit && y * y + 2 * y - factor * x < limit);
            let found = solutions(&circuit, &[x], prime);
            assert_eq!(found.iter().map(|s| s[1] as i64).collect::<Vec<_>>(), Vec::from_iter(expected), "√({factor}·{x}), w = {w}");
            let trace = traced(&[x], |b, args| gadgets::sqrt(b, &args[0], &root, w).map(drop));
            assert_eq!(trace.map(|wires| modulo(&wires, prime)), found.first().cloned(), "√({factor}·{x}), w = {w}");
            assert!(y.is_none_or(|y| y < least || y >= limit / 2) || expected.is_some(), "roots below 2^(w−1) are all provable");
        }
    }
    let mut b = ConstraintBuilder::new();
    let x = b.constant(4);
    for (factor, least) in [(0, 0), (1, -1), (1, (1 << 31) + 1)] {
        assert!(matches!(gadgets::sqrt(&mut b, &x, &gadgets::Root { factor, least }, 8), Err(CircuitError::Unsupported { .. })));
    }
    assert_eq!(gadgets::sqrt(&mut b, &x, &gadgets::Root { factor: i64::MAX, least: 0 }, 8), Err(CircuitError::Overflow));
}

#[test]
fn steps_are_functions() {
    for (limbs, w) in [(1u32, 1u32), (1, 3), (2, 2), (3, 1)] {
        let prime = 251;
        let circuit = shape(&[Interval { lo: -20, hi: 20 }], |b, args| {
            let s = gadgets::step(b, &args[0], limbs, w)?;
            assert_eq!(s.range(), Some(Interval::unsigned(1)));
            Ok(())
        });
        for x in -20..=20i64 {
            let limit = 1 << (w * limbs);
            let expected = (-limit..limit).contains(&x).then_some(u64::from(x >= 0));
            let found = solutions(&circuit, &[x], prime);
            assert_eq!(found.iter().map(|s| s[1]).collect::<Vec<_>>(), Vec::from_iter(expected), "{limbs} limbs of {w} bits: {x} ≥ 0");
            let trace = traced(&[x], |b, args| gadgets::step(b, &args[0], limbs, w).map(drop));
            assert_eq!(trace.map(|wires| modulo(&wires, prime)), found.first().cloned());
        }
    }
}

#[test]
fn one_hots_are_functions() {
    let prime = 61;
    for count in 1..=6usize {
        let circuit = shape(&[Interval { lo: -9, hi: 9 }], |b, args| {
            let bits = gadgets::one_hot(b, &args[0], count)?;
            assert!(bits.len() == count && bits.iter().all(|bit| bit.range() == Some(Interval::unsigned(1))));
            Ok(())
        });
        for x in -9..=9i64 {
            let expected = (0..count as i64).contains(&x).then(|| {
                let bits = (0..count as i64).map(|i| i64::from(i == x));
                modulo(&std::iter::once(x).chain(bits).collect::<Vec<_>>(), prime)
            });
            assert_eq!(solutions(&circuit, &[x], prime), Vec::from_iter(expected.clone()), "{x} of {count}");
            let trace = traced(&[x], |b, args| gadgets::one_hot(b, &args[0], count).map(drop));
            assert_eq!(trace.map(|wires| modulo(&wires, prime)), expected);
        }
    }
    let mut b = ConstraintBuilder::new();
    let x = b.constant(0);
    for count in [0, (1 << 26) + 1, usize::MAX] {
        assert!(matches!(gadgets::one_hot(&mut b, &x, count), Err(CircuitError::Unsupported { .. })));
    }
}

#[test]
fn digits_are_exact() {
    let prime = 521;
    for (bits, w, own) in [(3, 3, false), (2, 4, false), (2, 4, true), (1, 4, false)] {
        let tables = DigitTables::choose(&[(if own { 1000 } else { 1 }, bits)], w);
        let circuit = shape(&[], |b, _| gadgets::digit(b, None, bits, &tables, w).map(drop));
        let found: Vec<u64> = solutions(&circuit, &[], prime).iter().map(|s| s[0]).collect();
        assert_eq!(found, (0..1u64 << bits).collect::<Vec<_>>(), "bits = {bits}, w = {w}");
    }
    // Wider than the table: limbs, whose sum is the digit.
    for (bits, w) in [(5, 3), (6, 3), (4, 3)] {
        let circuit = shape(&[], |b, _| gadgets::digit(b, None, bits, &DigitTables::default(), w).map(drop));
        let mut found: Vec<u64> =
            solutions(&circuit, &[], prime).iter().map(|s| s.iter().rev().fold(0, |sum, limb| (sum << w) + limb)).collect();
        found.sort_unstable();
        assert_eq!(found, (0..1u64 << bits).collect::<Vec<_>>(), "bits = {bits}, w = {w}");
    }
}

/// Rule B2: one unscaled lookup in a wider table, or one scaled one, would admit other digits of the same word.
#[test]
fn attack_b2_digits_wider_or_fractional() {
    let (bits, w) = (8, 12);
    let circuit = shape(&[], |b, _| {
        let tables = DigitTables::default();
        let digits = [gadgets::digit(b, None, bits, &tables, w)?, gadgets::digit(b, None, bits, &tables, w)?];
        gadgets::pack(b, &digits, bits)?.iter().for_each(|word| b.public_word(word));
        Ok(())
    });
    let honest = [Fr::from(5), Fr::from(7)];
    assert!(circuit.completable(&[], &honest, &[]));
    let wide = [Fr::from(5 + 256), Fr::from(6)];
    let fractional = [Fr::from(5 + 16), Fr::from(7) - Fr::from(16).inverse().unwrap()];
    for forged in [wide, fractional] {
        assert_eq!(circuit.words(&[], &forged, &[]), circuit.words(&[], &honest, &[]), "the forgery shows the same word");
        assert!(!circuit.completable(&[], &forged, &[]));
    }
    // A digit whose interval is not within the pitch does not compile.
    let mut shape = ConstraintBuilder::new();
    let wire = shape.given(None);
    let wide = shape.anchored(&wire, Interval::unsigned(12));
    assert!(matches!(gadgets::pack(&shape, &[wide], 8), Err(CircuitError::TooWide { .. })));
    assert!(matches!(gadgets::pack(&shape, &[wire], 8), Err(CircuitError::NotIntegral { .. })));
}

/// Rule G3: integrality is tracked; a fresh wire is any field element until a gadget anchors it.
#[test]
fn attack_g3_unanchored_wires_do_not_compile() {
    let mut b = ConstraintBuilder::new();
    let fresh = b.given(None);
    let refused = |result: Result<Int, CircuitError>| assert!(matches!(result, Err(CircuitError::NotIntegral { .. })));
    refused(gadgets::relu(&mut b, &fresh, 8, 8));
    refused(gadgets::relu(&mut b, &fresh, 0, 8));
    refused(gadgets::requantise(&mut b, &fresh, 8, 8));
    let integer = b.constant(3);
    refused(gadgets::max(&mut b, &fresh, &integer, 1, 8));
    refused(gadgets::multiply(&mut b, &integer, &fresh));
    let division = gadgets::Division { factor: 1, nearest: false, least: 0, limbs: 1, least_divisor: 1 };
    refused(gadgets::divide(&mut b, &fresh, &integer, &division, 8));
    refused(gadgets::divide(&mut b, &integer, &fresh, &division, 8));
    refused(gadgets::sqrt(&mut b, &fresh, &gadgets::Root { factor: 1, least: 0 }, 8));
    refused(gadgets::step(&mut b, &fresh, 1, 8));
    assert!(matches!(gadgets::one_hot(&mut b, &fresh, 3), Err(CircuitError::NotIntegral { .. })));
    let sum = b.combine(&[(3, &fresh), (5, &integer)], 1).unwrap();
    assert_eq!(sum.range(), None);
    let near = b.anchored(&fresh, Interval { lo: 0, hi: 1 << 40 });
    assert_eq!(b.combine(&[(1 << 30, &near)], 0).unwrap_err(), CircuitError::Overflow);
}

#[test]
fn attack_g4_shift_other_than_the_table_is_refused() {
    let mut b = ConstraintBuilder::new();
    let wire = b.given(None);
    let acc = b.anchored(&wire, Interval::unsigned(10));
    assert!(matches!(gadgets::relu(&mut b, &acc, 4, 8), Err(CircuitError::Unsupported { .. })));
    assert!(matches!(gadgets::requantise(&mut b, &acc, 9, 8), Err(CircuitError::Unsupported { .. })));
}

/// Functions, arithmetic and comparisons of digits of 8, 5, 14 and 8 bits, with a table of 8 bits; gives digits of 9 bits.
fn primitives<B: Builder>(b: &mut B, x: &[B::Int]) -> Vec<B::Int> {
    let w = 8;
    let acc = b.combine(&[(37, &x[0]), (-90, &x[1]), (1, &x[2])], -300).unwrap();
    let curve: Vec<i64> = (0..113).map(|j| j * j * 7 % 200 - 50).collect();
    let bend: Vec<i64> = (0..32).map(|j| j * 5 % 23).collect();
    let curve = gadgets::FunctionTable::new(b, -12, &curve, 256).unwrap();
    let bend = gadgets::FunctionTable::new(b, 0, &bend, 64).unwrap();
    let product = gadgets::multiply(b, &x[0], &x[3]).unwrap();
    let [near, far] = [(&x[0], 64), (&x[3], 100)].map(|(y, more)| b.combine(&[(1, y)], more).unwrap());
    let nearest = gadgets::Division { factor: 3, nearest: true, least: -7, limbs: 2, least_divisor: 1 };
    let down = gadgets::Division { factor: 1, nearest: false, least: 0, limbs: 1, least_divisor: 50 };
    let away = b.combine(&[(1, &x[1]), (-1, &x[3])], 0).unwrap();
    let larger = gadgets::max(b, &away, &x[2], 3, w).unwrap();
    let mut outputs = vec![
        gadgets::function(b, &acc, &curve, w, w).unwrap(),
        gadgets::function(b, &x[1], &bend, 0, w).unwrap(),
        gadgets::requantise(b, &product, w, w).unwrap(),
        gadgets::divide(b, &x[2], &near, &nearest, w).unwrap(),
        gadgets::divide(b, &acc, &far, &down, w).unwrap(),
        gadgets::sqrt(b, &x[2], &gadgets::Root { factor: 1, least: 2 }, w).unwrap(),
        gadgets::step(b, &acc, 2, w).unwrap(),
        gadgets::step(b, &away, 1, w).unwrap(),
        gadgets::requantise(b, &larger, w, w).unwrap(),
    ];
    outputs.extend(gadgets::one_hot(b, &x[1], 20).unwrap());
    outputs.iter().map(|y| b.combine(&[(1, y)], 128).unwrap()).collect()
}

/// Every pair of wires of these moved together, by amounts that the gadgets are weak against one by one: what is accepted is the witness of
/// other digits, to the last wire.
#[test]
fn attack_g4_pairs_of_wires_of_the_primitives() {
    fn build<B: Builder>(b: &mut B, digits: Option<&[i64]>) {
        let tables = DigitTables::choose(&[(1000, 5), (1000, 6)], 8);
        let x: Vec<_> = (0..4).map(|i| gadgets::digit(b, digits.map(|d| d[i]), [8, 5, 14, 8][i], &tables, 8).unwrap()).collect();
        let outputs = primitives(b, &x);
        gadgets::pack(b, &outputs, 9).unwrap().iter().for_each(|word| b.public_word(word));
    }
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, None);
    let circuit = shape.finish();
    let honest = |digits: &[i64; 4]| {
        let mut trace = WitnessBuilder::new();
        build(&mut trace, Some(digits));
        trace.finish().small.iter().map(|v| Fr::from(*v)).collect::<Vec<Fr>>()
    };
    let base = honest(&[200, 17, 9000, 45]);
    assert!(circuit.completable(&[], &base, &[]));
    let sizes: [u64; 8] = [1, 2, 64, 128, 201, 256, 255, 1 << 16];
    let whole = sizes.map(Fr::from);
    let moves: Vec<Fr> = whole.into_iter().chain(whole.map(|size| size.inverse().unwrap())).flat_map(|by| [by, -by]).collect();
    let mut others = 0;
    let mut judge = |small: &[Fr]| {
        if circuit.completable(&[], small, &[]) {
            // Digits of 8, 5, 8 + 6 and 8 bits are the first wires.
            let limb = |i: usize| (0..256).find(|v| Fr::from(*v) == small[i]).unwrap();
            assert_eq!(small, honest(&[limb(0), limb(1), limb(2) + 256 * limb(3), limb(4)]), "a second witness");
            others += 1;
        }
    };
    for i in 0..base.len() {
        for j in i + 1..base.len() {
            for (k, x) in moves.iter().enumerate() {
                for y in &moves[k / 2 * 2..] {
                    for (x, y) in [(x, y), (y, x)] {
                        let mut small = base.clone();
                        (small[i], small[j]) = (small[i] + x, small[j] + y);
                        judge(&small);
                    }
                }
            }
            for (x, y) in [(base[j], base[i]), (base[i], base[i]), (-base[i], -base[j]), (Fr::zero(), Fr::zero())] {
                let mut small = base.clone();
                (small[i], small[j]) = (x, y);
                judge(&small);
            }
        }
    }
    assert!(others > 0, "a unit more of a digit, and of the product's wire, is another witness");
}

/// All gadgets in one circuit over the real field: every wire, small and full-size, moved by ±1 and by a random element.
#[test]
fn every_mutated_wire_is_refused() {
    let w = 8;
    fn build<B: Builder>(b: &mut B, w: u32, digits: Option<&[i64]>, salt: Option<Fr>, commitment: Option<Fr>) {
        let public = b.public(commitment);
        let tables = DigitTables::default();
        let x: Vec<_> = (0..4).map(|i| gadgets::digit(b, digits.map(|d| d[i]), [8, 5, 14, 8][i], &tables, w).unwrap()).collect();
        let acc = b.combine(&[(37, &x[0]), (-90, &x[1]), (1, &x[2])], -300).unwrap();
        let y = gadgets::relu(b, &acc, w, w).unwrap();
        let z = gadgets::requantise(b, &acc, w, w).unwrap();
        let m = gadgets::max(b, &x[0], &x[3], 1, w).unwrap();
        let n = gadgets::max(b, &acc, &x[2], 2, w).unwrap();
        let v = gadgets::relu(b, &z, 0, w).unwrap();
        let n = gadgets::requantise(b, &n, w, w).unwrap();
        let outputs = [y, b.combine(&[(1, &z)], 128).unwrap(), m, b.combine(&[(1, &n)], 128).unwrap(), v];
        let mut words = gadgets::pack(b, &outputs, w).unwrap();
        let more = primitives(b, &x);
        words.extend(gadgets::pack(b, &more, 9).unwrap());
        words.extend(gadgets::pack(b, &x, 14).unwrap());
        words.iter().for_each(|word| b.public_word(word));
        let salt = b.field_given(salt);
        let h = gadgets::commitment(b, &salt, gadgets::tensor_tag(5, w), None, &words).unwrap();
        b.field_equal(&h, &public);
    }
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, w, None, None, None);
    let circuit = shape.finish();
    let mut rng = StdRng::seed_from_u64(7);
    let (digits, salt) = ([200, 17, 9000, 45], Fr::rand(&mut rng));
    let words = {
        let mut probe = WitnessBuilder::new();
        build(&mut probe, w, Some(&digits), Some(salt), None);
        probe.finish().words
    };
    let commitment = gadgets::commitment_of(salt, gadgets::tensor_tag(5, w), None, &words).unwrap();
    let mut trace = WitnessBuilder::new();
    build(&mut trace, w, Some(&digits), Some(salt), Some(commitment));
    let witness = trace.finish();
    let small: Vec<Fr> = witness.small.iter().map(|v| Fr::from(*v)).collect();
    assert!(circuit.completable(&witness.publics, &small, &witness.field));
    let challenge = Fr::rand(&mut rng);
    let assignment = circuit.assignment(&witness, challenge).unwrap();
    circuit.check(&assignment).unwrap();

    let moves =
        |rng: &mut StdRng, value: Fr| [value + Fr::one(), value - Fr::one(), Fr::rand(rng), value + Fr::from(16).inverse().unwrap()];
    let honest_words = circuit.words(&witness.publics, &small, &witness.field);
    for i in 0..small.len() {
        for forged in moves(&mut rng, small[i]) {
            let mut wires = small.clone();
            wires[i] = forged;
            assert!(!circuit.completable(&witness.publics, &wires, &witness.field), "small wire {i} moved to {forged}");
        }
    }
    for i in 0..witness.field.len() {
        for forged in moves(&mut rng, witness.field[i]) {
            let mut wires = witness.field.clone();
            wires[i] = forged;
            assert!(!circuit.completable(&witness.publics, &small, &wires), "field wire {i} moved");
        }
    }
    assert!(!circuit.completable(&[commitment + Fr::one()], &small, &witness.field));
    // Every wire of the full assignment: multiplicities, inverses, quotients, fingerprint steps, χ and F too.
    for wire in 0..assignment.len() {
        for forged in moves(&mut rng, assignment[wire]) {
            let mut z = assignment.clone();
            z[wire] = forged;
            assert!(circuit.check(&z).is_err(), "wire {wire} of {}", assignment.len());
        }
    }
    assert_eq!(honest_words, witness.words);
}

/// Rule B1: one logUp sum a table. A value of one table cannot be answered by another, whatever the multiplicities.
#[test]
fn attack_b1_tables_have_sums_of_their_own() {
    let circuit = shape(&[], |b, _| {
        let (narrow, wide) = (b.given(None), b.given(None));
        b.lookup(2, &narrow)?;
        b.lookup(5, &wide)
    });
    let mut trace = WitnessBuilder::new();
    let (narrow, wide) = (trace.given(Some(3)), trace.given(Some(3)));
    trace.lookup(2, &narrow).unwrap();
    trace.lookup(5, &wide).unwrap();
    let witness = trace.finish();
    let challenge = Fr::from(987_654_321u64);
    let layout = circuit.layout().clone();
    let mut z = circuit.assignment(&witness, challenge).unwrap();
    circuit.check(&z).unwrap();
    // The narrow value becomes 20; the adversary answers it from the wide table: inverse right, multiplicity moved there.
    let forged = Fr::from(20);
    let small = layout.public_wires();
    let multiplicity = |table: usize, t: usize| layout.first_multiplicity() + if table == 0 { t } else { 4 + t };
    let (inverse, quotient) = (layout.first_second_round(), layout.first_second_round() + 2);
    z[small] = forged;
    z[inverse] = (challenge - forged).inverse().unwrap();
    for (table, t, m) in [(0, 3, 0u64), (1, 20, 1)] {
        z[multiplicity(table, t)] = Fr::from(m);
        let entry = if table == 0 { t } else { 4 + t };
        z[quotient + entry] = Fr::from(m) * (challenge - Fr::from(t as u64)).inverse().unwrap();
    }
    let sums = layout.products + layout.field_products + layout.lookups() + layout.table_entries();
    let [a, b, c] = circuit.evaluate(&z);
    let broken: Vec<usize> = (0..layout.rows()).filter(|row| a[*row] * b[*row] != c[*row]).collect();
    assert_eq!(broken, [sums, sums + 1], "each table's own sum refuses it");
    assert!((a[sums] + a[sums + 1]).is_zero(), "one sum over both tables would have accepted it");
}

/// The same for tables of constants: a value of the range table is not answered by a function's table of as many entries, nor the other way
/// round, and two functions' tables keep their own sums.
#[test]
fn attack_b1_functions_have_sums_of_their_own() {
    const SIZE: usize = 8;
    let functions: [[i64; SIZE]; 2] = [[3, 1, 4, 1, 5, 0, 2, 6], [2, 7, 1, 0, 2, 1, 6, 2]];
    fn build<B: Builder>(b: &mut B, functions: &[[i64; SIZE]; 2], x: Option<i64>) {
        let x = b.given(x);
        b.lookup(3, &x).unwrap();
        let x = b.anchored(&x, Interval::unsigned(3));
        for f in functions {
            let f = gadgets::FunctionTable::new(b, 0, f, 17).unwrap();
            gadgets::function(b, &x, &f, 0, 3).unwrap();
        }
    }
    let mut shape = ConstraintBuilder::new();
    build(&mut shape, &functions, None);
    let circuit = shape.finish();
    let mut trace = WitnessBuilder::new();
    build(&mut trace, &functions, Some(2));
    let witness = trace.finish();
    let layout = circuit.layout().clone();
    assert_eq!(layout.tables.iter().map(|t| (t.entries, t.lookups)).collect::<Vec<_>>(), [(SIZE, 3), (SIZE, 1), (SIZE, 1)]);
    let challenge = Fr::from(987_654_321u64);
    let honest = circuit.assignment(&witness, challenge).unwrap();
    circuit.check(&honest).unwrap();
    let entry = |table: usize, t: usize| witness.lookups[table].0.get(t);
    // Wires x, y of the first function, y of the second; lookups x, both y, then one of each function.
    for (table, wire, lookup, stride) in [(0, 1, 1, 1), (1, 1, 3, 17), (2, 2, 4, 17)] {
        for (other, t) in (0..3).filter(|other| *other != table).flat_map(|other| (0..SIZE).map(move |t| (other, t))) {
            let wanted = Fr::from(entry(other, t));
            if (0..SIZE).any(|t| Fr::from(entry(table, t)) == wanted) {
                continue;
            }
            // The wire is what makes the looked-up value an entry of the other table, whose multiplicity takes it over.
            let mut z = honest.clone();
            let offset = if stride == 1 { Fr::zero() } else { Fr::from(2) };
            z[layout.public_wires() + wire] = (wanted - offset) / Fr::from(stride);
            z[layout.first_second_round() + lookup] = (challenge - wanted).inverse().unwrap();
            let place = |table: usize, t: usize| SIZE * table + t;
            let old = witness.lookups[table].1[if table == 0 { 1 } else { 0 }] as usize;
            for (table, t, more) in [(table, old, -Fr::one()), (other, t, Fr::one())] {
                z[layout.first_multiplicity() + place(table, t)] += more;
                z[layout.first_second_round() + layout.lookups() + place(table, t)] +=
                    more * (challenge - Fr::from(entry(table, t))).inverse().unwrap();
            }
            let sums = layout.products + layout.field_products + layout.lookups() + layout.table_entries();
            let [a, b, c] = circuit.evaluate(&z);
            let broken: Vec<usize> = (0..layout.rows()).filter(|row| a[*row] * b[*row] != c[*row]).collect();
            let mut expected = vec![sums + table, sums + other];
            expected.sort_unstable();
            // The value's other lookup, which its wire moved away from, says so too.
            assert!(broken.ends_with(&expected), "table {table} answered by {other}: {broken:?}");
            assert!((0..3).map(|table| a[sums + table]).sum::<Fr>().is_zero(), "one sum over all tables would have accepted it");
            let small: Vec<Fr> = z[layout.public_wires()..][..3].to_vec();
            assert!(!circuit.completable(&[], &small, &[]));
        }
    }
}

#[test]
fn costs() {
    let rows = |circuit: &Circuit| circuit.layout().products + circuit.layout().field_products + circuit.layout().lookups();
    let acc = Interval { lo: -1000, hi: 1000 };
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::relu(b, &a[0], 8, 8).map(drop))), 3);
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::relu(b, &a[0], 0, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::requantise(b, &a[0], 8, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::max(b, &a[0], &a[1], 1, 8).map(drop))), 2);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::max(b, &a[0], &a[1], 2, 8).map(drop))), 3);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::max(b, &a[0], &a[1], 3, 8).map(drop))), 4);
    let function = |b: &mut ConstraintBuilder, x: &Int, shift: u32| {
        let f = gadgets::FunctionTable::new(b, -1, &[0, 5, 2], 1 << 12)?;
        gadgets::function(b, x, &f, shift, 8).map(drop)
    };
    assert_eq!(rows(&shape(&[acc], |b, a| function(b, &a[0], 8))), 3);
    assert_eq!(rows(&shape(&[acc], |b, a| function(b, &a[0], 0))), 2);
    assert_eq!(rows(&shape(&[acc, acc], |b, a| gadgets::multiply(b, &a[0], &a[1]).map(drop))), 1);
    for limbs in 1..=3 {
        for (least_divisor, lookups) in [(1, 2), (2, 3)] {
            let division = gadgets::Division { factor: 1, nearest: true, least: 0, limbs, least_divisor };
            let circuit = shape(&[acc, acc], |b, a| gadgets::divide(b, &a[0], &a[1], &division, 8).map(drop));
            assert_eq!(rows(&circuit), 2 + lookups * limbs as usize);
        }
        assert_eq!(rows(&shape(&[acc], |b, a| gadgets::step(b, &a[0], limbs, 8).map(drop))), 2 + limbs as usize);
    }
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::sqrt(b, &a[0], &gadgets::Root { factor: 1, least: 3 }, 8).map(drop))), 4);
    assert_eq!(rows(&shape(&[acc], |b, a| gadgets::one_hot(b, &a[0], 7).map(drop))), 9);
    let hash = |inputs: usize| {
        shape(&[], |b, _| {
            let inputs: Vec<_> = (0..inputs).map(|_| b.field_given(None)).collect();
            gadgets::hash(b, &inputs).map(drop)
        })
    };
    assert_eq!(rows(&hash(2)), 3 * (8 * 3 + 57));
    assert_eq!(rows(&hash(12)), 3 * (8 * 13 + 65));
}

#[test]
fn packing_round_trips() {
    let mut rng = StdRng::seed_from_u64(3);
    for bits in [1u32, 7, 8, 12, 13, 31] {
        for count in [1usize, 20, 21, 22, 100] {
            let digits: Vec<i64> = (0..count).map(|_| rng.gen_range(0..1i64 << bits)).collect();
            let words = gadgets::pack_values(&digits, bits);
            assert_eq!(words.len(), zkslice_formats::words_of(count, bits));
            assert_eq!(gadgets::unpack_values(&words, count, bits), Some(digits));
            assert_eq!(gadgets::unpack_values(&words, count + 300, bits), None);
        }
    }
    assert_eq!(gadgets::unpack_values(&[Fr::from(256)], 1, 8), None);
}

/// Rule G7: Poseidon and the chain of a commitment, as circomlibjs 0.1.7 computes them; circuit and native hash agree.
#[test]
fn hashes_are_those_of_circomlibjs() {
    let decimal = |text: &str| text.parse::<Fr>().unwrap();
    for (count, expected) in [
        (2u64, "7853200120776062878684798364095072458815029376092732009249414926327459813530"),
        (3, "6542985608222806190361240322586112750744169038454362455181422643027100751666"),
        (12, "2501997477381648492950318384533644783248002172679259592360114615426357826485"),
    ] {
        let inputs: Vec<Fr> = (1..=count).map(Fr::from).collect();
        assert_eq!(gadgets::hash_of(&inputs).unwrap(), decimal(expected), "{count} inputs");
        let mut shape = ConstraintBuilder::new();
        let wires: Vec<_> = inputs.iter().map(|_| shape.field_given(None)).collect();
        let hash = gadgets::hash(&mut shape, &wires).unwrap();
        shape.public_word(&hash);
        let circuit = shape.finish();
        let mut trace = WitnessBuilder::new();
        let values: Vec<Fr> = inputs.iter().map(|x| trace.field_given(Some(*x))).collect();
        let hash = gadgets::hash(&mut trace, &values).unwrap();
        trace.public_word(&hash);
        let witness = trace.finish();
        assert!(circuit.completable(&[], &[], &witness.field));
        assert_eq!(circuit.words(&[], &[], &witness.field), [decimal(expected)]);
    }
    assert!(gadgets::hash_of(&[]).is_err() && gadgets::hash_of(&[Fr::one(); 13]).is_err());
    // 300 digits of 12 bits: 15 words, two blocks, the second filled with zeros.
    let digits: Vec<i64> = (0..300).map(|i| i * 13 % 4096).collect();
    let words = gadgets::pack_values(&digits, 12);
    let tag = gadgets::tensor_tag(300, 12);
    let commitment = |owner| gadgets::commitment_of(Fr::from(7), tag, owner, &words).unwrap();
    assert_eq!(commitment(None), decimal("5828928933780215658953734645405019670307827296749617164332392552538880650413"));
    assert_eq!(commitment(Some(Fr::from(99))), decimal("8811169554134862289477013120620159527449835826670754474539209681585697468600"));
}

/// Rule G7: a chain's value is no salt of a shorter chain, since the tag names the element count; nor do other pitches,
/// owners or zero-filled tails give the same commitment.
#[test]
fn attack_g7_chains_cannot_be_read_as_others() {
    let (salt, words) = (Fr::from(7), vec![Fr::from(3); 22]);
    let whole = gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), None, &words).unwrap();
    let prefix = gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), None, &words[..11]).unwrap();
    // The chain continued from its own middle is the whole chain, but no commitment opens from there: those start with a tag.
    let mut block = vec![prefix];
    block.extend_from_slice(&words[11..]);
    assert_eq!(gadgets::hash_of(&block).unwrap(), whole);
    assert_ne!(gadgets::commitment_of(prefix, gadgets::tensor_tag(11, 253), None, &words[11..]).unwrap(), whole);
    let mut others = vec![whole];
    for (count, bits) in [(21, 253), (22, 252), (23, 253)] {
        others.push(gadgets::commitment_of(salt, gadgets::tensor_tag(count, bits), None, &words).unwrap());
    }
    for owner in [Fr::zero(), Fr::one()] {
        others.push(gadgets::commitment_of(salt, gadgets::tensor_tag(22, 253), Some(owner), &words).unwrap());
    }
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 6);
}

#[test]
fn requant_rounds_halves_up_for_both_signs() {
    for (x, expected) in [(7, 0), (8, 1), (-8, 0), (-9, -1), (23, 1), (24, 2), (-24, -1), (-25, -2), (0, 0)] {
        assert_eq!(gadgets::requant(x, 4), expected, "{x}");
    }
    assert_eq!(gadgets::requant(-5, 0), -5);
}
