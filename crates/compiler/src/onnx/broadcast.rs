//! Broadcasting as ONNX takes it from numpy: shapes are aligned at their last axes, and an axis of size 1 (or none) repeats.

/// The shape that two shapes broadcast to, if they do.
pub(super) fn shape(x: &[usize], y: &[usize]) -> Option<Vec<usize>> {
    let rank = x.len().max(y.len());
    let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (at(x, axis), at(y, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

/// `list`, whose shape is `from`, repeated to the shape `to` that `from` broadcasts to.
pub(super) fn repeat<T: Copy>(list: &[T], from: &[usize], to: &[usize]) -> Vec<T> {
    if from == to {
        return list.to_vec();
    }
    // Along a repeated axis an index does not move.
    let mut steps = vec![0; to.len()];
    let mut step = 1;
    for (axis, &size) in from.iter().enumerate().rev() {
        steps[axis + to.len() - from.len()] = if size == 1 { 0 } else { step };
        step *= size;
    }
    let count: usize = to.iter().product();
    let mut index = vec![0_usize; to.len()];
    let mut position = 0;
    let mut output = Vec::with_capacity(count);
    for _ in 0..count {
        output.push(list[position]);
        for axis in (0..to.len()).rev() {
            index[axis] += 1;
            position += steps[axis];
            if index[axis] < to[axis] {
                break;
            }
            position -= steps[axis] * to[axis];
            index[axis] = 0;
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        for (x, y, both) in [
            (&[][..], &[][..], Some(vec![])),
            (&[], &[3], Some(vec![3])),
            (&[1, 1], &[3], Some(vec![1, 3])),
            (&[3, 1], &[3], Some(vec![3, 3])),
            (&[3], &[1, 1], Some(vec![1, 3])),
            (&[2, 1, 4], &[5, 1], Some(vec![2, 5, 4])),
            (&[2], &[3], None),
            (&[2, 3], &[2], None),
            (&[0], &[1], Some(vec![0])),
        ] {
            assert_eq!(shape(x, y), both, "{x:?} {y:?}");
            assert_eq!(shape(y, x), both, "{y:?} {x:?}");
        }
    }

    #[test]
    fn elements_repeat_along_axes_of_size_one() {
        assert_eq!(repeat(&[7], &[], &[2, 2]), [7; 4]);
        assert_eq!(repeat(&[1, 2], &[2], &[2, 2]), [1, 2, 1, 2]);
        assert_eq!(repeat(&[1, 2], &[2, 1], &[2, 2]), [1, 1, 2, 2]);
        assert_eq!(repeat(&[1, 2], &[1, 2, 1], &[2, 2, 2]), [1, 1, 2, 2, 1, 1, 2, 2]);
        assert!(repeat::<i64>(&[], &[0], &[2, 0]).is_empty());
    }
}
