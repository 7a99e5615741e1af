//! BLAKE2b that goes on from a state which a file holds: snarkjs keeps a contribution's hash without its last few bytes so.
//!
//! RFC 7693; `blake2` has no way in for a state.

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// Bytes of the state that files hold: a block, the chaining value, the bytes before the block, the bytes in it.
pub(crate) const STATE: usize = 216;
const BLOCK: usize = 128;

fn mix(v: &mut [u64; 16], [a, b, c, d]: [usize; 4], x: u64, y: u64) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

fn compress(h: &mut [u64; 8], block: &[u8], counted: u64, is_last: bool) {
    let mut m = [0; 16];
    for (word, bytes) in m.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut v = [0; 16];
    v[..8].copy_from_slice(h);
    v[8..].copy_from_slice(&IV);
    v[12] ^= counted;
    if is_last {
        v[14] = !v[14];
    }
    for round in 0..12 {
        let s = &SIGMA[round % 10];
        let columns = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]];
        let diagonals = [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];
        for (i, at) in columns.into_iter().chain(diagonals).enumerate() {
            mix(&mut v, at, m[s[2 * i]], m[s[2 * i + 1]]);
        }
    }
    for i in 0..8 {
        h[i] ^= v[i] ^ v[i + 8];
    }
}

/// The hash of what made the state, and of `rest`; `None` for bytes that are no state.
pub(crate) fn finish(state: &[u8; STATE], rest: &[u8]) -> Option<[u8; 64]> {
    let words = state[BLOCK..].as_chunks::<8>().0;
    let word = |i: usize| u64::from_le_bytes(words[i]);
    let mut h: [u64; 8] = std::array::from_fn(word);
    let (mut counted, position) = (word(8), word(9) as usize);
    if position > BLOCK || counted % BLOCK as u64 != 0 || counted > u64::MAX / 2 {
        return None;
    }
    let left = [&state[..position], rest].concat();
    let blocks = left.chunks(BLOCK).count().max(1);
    for index in 0..blocks {
        let chunk = &left[(index * BLOCK).min(left.len())..((index + 1) * BLOCK).min(left.len())];
        let mut block = [0; BLOCK];
        block[..chunk.len()].copy_from_slice(chunk);
        counted += chunk.len() as u64;
        compress(&mut h, &block, counted, index + 1 == blocks);
    }
    let mut hash = [0; 64];
    hash.as_chunks_mut::<8>().0.iter_mut().zip(h).for_each(|(out, word)| *out = word.to_le_bytes());
    Some(hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use blake2::{Blake2b512, Digest};

    use super::*;

    /// The state at the beginning, for a hash of 64 bytes without a key.
    fn fresh() -> [u8; STATE] {
        let mut state = [0; STATE];
        for (i, word) in IV.iter().enumerate() {
            let word = if i == 0 { word ^ 0x0101_0040 } else { *word };
            state[BLOCK + 8 * i..BLOCK + 8 * i + 8].copy_from_slice(&word.to_le_bytes());
        }
        state
    }

    #[test]
    fn hashes_as_the_library_does() {
        for length in [0, 1, 127, 128, 129, 255, 256, 257, 1000] {
            let message: Vec<u8> = (0..length).map(|i| (i * 7 + 3) as u8).collect();
            let expected: [u8; 64] = Blake2b512::digest(&message).into();
            assert_eq!(finish(&fresh(), &message).unwrap(), expected, "{length} bytes");
            // The first bytes in the state's block.
            let split = message.len().min(100);
            let mut state = fresh();
            state[..split].copy_from_slice(&message[..split]);
            state[BLOCK + 72..BLOCK + 80].copy_from_slice(&(split as u64).to_le_bytes());
            assert_eq!(finish(&state, &message[split..]).unwrap(), expected, "{length} bytes, {split} of them in the state");
        }
    }

    #[test]
    fn refuses_what_is_no_state() {
        let mut state = fresh();
        state[BLOCK + 72] = 129;
        assert_eq!(finish(&state, &[]), None);
    }
}
