//! How many slices a miner has at a time: neither paid nor scored, so there is nothing to gain by moving it.
//!
//! It grows only by proofs that came in time while it was full, and only shrinks by what was missed or declined as too much: doubling until
//! the first of those, by one a window after it (as RFC 5681 has it for bytes).

/// A miner's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    size: u32,
    /// Below it, each proof adds one.
    threshold: u32,
    /// Proofs in time while it was full, since it last grew.
    good: u32,
    /// Assignments that were made before it was last cut do not cut it again.
    cut_at: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: 1, threshold: u32::MAX, good: 0, cut_at: 0 }
    }
}

impl Window {
    /// Slices at a time.
    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// A proof came in time, of an assignment that had filled the window.
    pub(crate) const fn filled_and_proven(&mut self) {
        self.good += 1;
        if self.size < self.threshold || self.good >= self.size {
            self.size = self.size.saturating_add(1);
            self.good = 0;
        }
    }

    /// An assignment that was made then came to nothing.
    pub(crate) const fn missed(&mut self, issued_ms: u64, now_ms: u64) {
        if issued_ms >= self.cut_at {
            self.size = if self.size > 1 { self.size / 2 } else { 1 };
            self.threshold = self.size;
            self.good = 0;
            self.cut_at = now_ms;
        }
    }

    /// One was declined as too much by a miner that had so many others.
    pub(crate) const fn too_much(&mut self, others: u32) {
        if others < self.size {
            self.size = if others > 1 { others } else { 1 };
            self.threshold = self.size;
            self.good = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A miner that can take so many at a time, and says so when it is asked for more, has about that many after 60 proofs.
    #[test]
    fn it_finds_what_a_miner_can_do() {
        for able in 1..=64 {
            let mut window = Window::default();
            for proofs in 0..400 {
                if window.size() > able {
                    window.too_much(able);
                }
                window.filled_and_proven();
                let (size, able) = (f64::from(window.size()), f64::from(able));
                if proofs >= 400 - 60 {
                    assert!((size - able).abs() <= 1.0 + able / 10.0, "{able}: {size}");
                } else if proofs >= 66 {
                    assert!((size - able).abs() <= 1.0 + able / 4.0, "{able}: {size} after {proofs}");
                }
            }
        }
    }

    #[test]
    fn it_is_cut_once_a_flight() {
        let mut window = Window::default();
        (0..15).for_each(|_| window.filled_and_proven());
        assert_eq!(window.size(), 16);
        (0..16).for_each(|_| window.missed(10, 20));
        assert_eq!(window.size(), 8);
        window.missed(20, 30);
        assert_eq!(window.size(), 4);
        (0..4).for_each(|_| window.filled_and_proven());
        assert_eq!(window.size(), 5, "by one a window");
        (0..9).for_each(|k| window.missed(30 + k, 31 + k));
        assert_eq!(window.size(), 1);
    }
}
