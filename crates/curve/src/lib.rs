//! Additions of many affine points of BN254 with one inversion, eight side by side where the processor has AVX-512 IFMA. Multi-scalar
//! multiplications, ceremonies and checks of points are made of them.
//!
//! ```text
//! adder      pairs of points added up, neighbours merged, points doubled
//! ifma       the same additions by vectors: the only unsafe code
//! subgroup   whether points of the twist are in the subgroup of order r
//! ```

mod adder;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod subgroup;
/// Other processors have no such instructions.
#[cfg(not(target_arch = "x86_64"))]
mod ifma {
    pub(crate) const LANES: usize = 8;

    #[derive(Clone, Debug, zeroize::Zeroize)]
    pub struct Kept;

    impl Kept {
        pub(crate) const EMPTY: Self = Self;
    }

    pub(crate) const fn is_supported() -> bool {
        false
    }

    pub(crate) fn add<P, const N: usize>(_: &mut [Kept], _: &mut [P], _: &[P]) {
        unreachable!("no additions by vectors are asked for");
    }
}

pub use adder::{Adder, Curve};
pub use subgroup::in_subgroup;
