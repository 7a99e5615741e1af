//! Powers of tau as packages need them: for each domain of 2^k its Lagrange points in G1 and G2, those times α and β in G1, and the
//! Lagrange points of the domain of 2^(k+1) in G1.
//!
//! Whoever imports a `.ptau` file checks it: the powers are powers of one τ, and the Lagrange points theirs. Both are checked with one
//! random polynomial r for each domain, of which the file's author knows nothing:
//!
//! ```text
//! R = Σ r_i·[τ^i],  R' = Σ r_i·[τ^(i+1)]        e(R, [τ]₂) = e(R', [1]₂): each power is τ times the one before
//! L = Σ r(ω^j)·[L_j(τ)]                         L = R
//! ```
//!
//! A wrong point passes with a probability of at most 2n/r.

use std::collections::BTreeSet;
use std::path::Path;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::Affine;
use ark_ff::UniformRand;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zkslice_curve::Curve;
use zkslice_formats::Sections;

use crate::multiply::interpolated;
use crate::points::{Point, read_all, read_curve, same_ratio, sum};
use crate::ptau::{Ptau, section};
use crate::{CeremonyError, PowersContribution, known};

const VERSION: u32 = 1;
/// Sections of a domain, after the first two of the file.
const OF_DOMAIN: usize = 5;
const FIRST: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// BLAKE2b of the `.ptau` file.
    source: String,
    contributions: Vec<HeaderContribution>,
    domains: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderContribution {
    name: String,
    response: String,
    beacon: Option<(String, u32)>,
}

/// Checked powers of tau.
#[derive(Debug)]
pub struct Powers {
    file: Sections,
    header: Header,
    alpha: G1Affine,
    beta: G1Affine,
    beta2: G2Affine,
}

/// The points that a key of one domain is made from.
#[derive(Clone, Debug)]
pub struct Domain {
    /// L_j(τ) in G1.
    pub lagrange: Vec<G1Affine>,
    /// L_j(τ) in G2.
    pub lagrange2: Vec<G2Affine>,
    /// α·L_j(τ).
    pub alpha: Vec<G1Affine>,
    /// β·L_j(τ).
    pub beta: Vec<G1Affine>,
    /// L_j(τ) of the domain of twice the size.
    pub double: Vec<G1Affine>,
}

fn domain(level: u32) -> Option<Radix2EvaluationDomain<Fr>> {
    Radix2EvaluationDomain::new(1 << level)
}

/// A random polynomial over a domain: its values and its coefficients.
struct Random {
    values: Vec<Fr>,
    coefficients: Vec<Fr>,
}

impl Random {
    fn new(level: u32, rng: &mut dyn CryptoRngCore) -> Option<Self> {
        let values: Vec<Fr> = (0..1_usize << level).map(|_| Fr::rand(rng)).collect();
        let coefficients = domain(level)?.ifft(&values);
        Some(Self { values, coefficients })
    }
}

/// A section of powers, the one of its Lagrange points, and what both are of.
#[derive(Clone, Copy)]
struct Series(usize, usize, &'static str);

const OF_TAU: Series = Series(section::TAU_G1, section::LAGRANGE_G1, "τ in G1");
const OF_TAU2: Series = Series(section::TAU_G2, section::LAGRANGE_G2, "τ in G2");
const OF_ALPHA: Series = Series(section::ALPHA_G1, section::LAGRANGE_ALPHA, "α·τ");
const OF_BETA: Series = Series(section::BETA_G1, section::LAGRANGE_BETA, "β·τ");

/// A file while it is checked.
struct Check<'a> {
    ptau: &'a Ptau,
    /// [τ]₂, and with it [τ]₁.
    tau: (G1Affine, G2Affine),
    /// A polynomial over each domain, the largest last.
    polynomials: Vec<(u32, Random)>,
    /// The same over the domains of twice their sizes.
    doubles: Vec<(u32, Random)>,
}

impl<'a> Check<'a> {
    fn new(ptau: &'a Ptau, domains: &BTreeSet<u32>, rng: &mut dyn CryptoRngCore) -> Result<Self, CeremonyError> {
        let mut draw = |level: u32| {
            let random = Random::new(level, rng).ok_or_else(|| ptau.unusable("no domain of BN254 is so large"));
            random.map(|random| (level, random))
        };
        let polynomials = domains.iter().map(|level| draw(*level)).collect::<Result<_, _>>()?;
        let doubles = domains.iter().map(|level| draw(level + 1)).collect::<Result<_, _>>()?;
        let first: Vec<G1Affine> = ptau.points(section::TAU_G1, 0..2)?;
        let first2: Vec<G2Affine> = ptau.points(section::TAU_G2, 0..2)?;
        let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
        if first[0] != g1 || first2[0] != g2 || !same_ratio(g1, first[1], g2, first2[1]) {
            return Err(ptau.unusable("they do not begin with 1 and τ, the same in both groups"));
        }
        Ok(Self { ptau, tau: (first[1], first2[1]), polynomials, doubles })
    }

    fn wrong(&self, what: &str, series: Series) -> CeremonyError {
        self.ptau.unusable(format!("{what} of {}", series.2))
    }

    /// As many powers as the largest of these polynomials needs, and one more, once each is τ times the one before.
    fn powers<C: Curve>(
        &self,
        series: Series,
        polynomials: &[(u32, Random)],
        follows: impl Fn(Affine<C>, Affine<C>) -> bool,
    ) -> Result<Vec<Affine<C>>, CeremonyError>
    where
        Affine<C>: Point,
    {
        let random = polynomials.last().map(|(_, random)| &random.coefficients[..]).unwrap_or_default();
        let powers: Vec<Affine<C>> = self.ptau.points(series.0, 0..random.len() + 1)?;
        if !follows(sum(&powers[..random.len()], random), sum(&powers[1..], random)) {
            return Err(self.wrong("not each is τ times the one before: powers", series));
        }
        Ok(powers)
    }

    fn powers1(&self, series: Series, polynomials: &[(u32, Random)]) -> Result<Vec<G1Affine>, CeremonyError> {
        self.powers(series, polynomials, |left, right| same_ratio(left, right, G2Affine::generator(), self.tau.1))
    }

    /// For each polynomial the Lagrange points of its domain, once their sum with its values is that of the powers with its coefficients.
    fn lagrange<C: Curve>(&self, series: Series, powers: &[Affine<C>], polynomials: &[(u32, Random)]) -> Result<Vec<Vec<u8>>, CeremonyError>
    where
        Affine<C>: Point,
    {
        let of = |(level, random): &(u32, Random)| {
            let powers = &powers[..1 << level];
            let points = if self.ptau.is_prepared() {
                self.ptau.lagrange(series.1, *level)?
            } else {
                interpolated(powers, *level).ok_or_else(|| self.wrong("no domain is so large: that", series))?
            };
            if points.iter().any(AffineRepr::is_zero) {
                return Err(self.wrong("one of the Lagrange points is infinite: that", series));
            }
            if sum(&points, &random.values) != sum(powers, &random.coefficients) {
                return Err(self.wrong("the Lagrange points are not those of the powers", series));
            }
            Ok(Point::raw(&points))
        };
        polynomials.iter().map(of).collect()
    }

    /// Powers times α or β with their Lagrange points: the first power, and those.
    fn times(&self, series: Series) -> Result<(G1Affine, Vec<Vec<u8>>), CeremonyError> {
        let powers = self.powers1(series, &self.polynomials)?;
        Ok((powers[0], self.lagrange(series, &powers, &self.polynomials)?))
    }
}

impl Powers {
    /// How its files begin.
    pub const MARK: [u8; 8] = *b"zkslicPT";

    /// Checks a `.ptau` file and takes from it what circuits of these domains (2^k rows) need. `progress` is told what is done next.
    ///
    /// # Errors
    /// [`CeremonyError::Powers`] says what is wrong with them; [`CeremonyError`].
    pub fn import(
        path: &Path,
        domains: &BTreeSet<u32>,
        rng: &mut dyn CryptoRngCore,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, CeremonyError> {
        let ptau = Ptau::open(path)?;
        let Some(&largest) = domains.last() else {
            return Err(CeremonyError::Refused("no domain is asked for; name packages or domains".into()));
        };
        if largest >= ptau.power {
            let power = ptau.power;
            return Err(ptau.unusable(format!(
                "their power is {power}, and a domain of 2^{largest} rows takes one of {}: the last Lagrange points of a file are made \
                 without its highest power, and a key from them lets false statements be proven",
                largest + 1
            )));
        }
        progress("hashing the file");
        let hash = ptau.hash();
        let published = known::name_of(&hash);
        let contributions = match published {
            // Its hash says whose they are.
            Some(_) => Vec::new(),
            None => {
                progress("checking the contributions");
                ptau.contributions()?
            }
        };
        let check = Check::new(&ptau, domains, rng)?;
        progress("checking the powers in G1");
        let powers = check.powers1(OF_TAU, &check.doubles)?;
        let (single, double) = (check.lagrange(OF_TAU, &powers, &check.polynomials)?, check.lagrange(OF_TAU, &powers, &check.doubles)?);
        drop(powers);
        progress("checking the powers in G2");
        let follows = |left, right| same_ratio(G1Affine::generator(), check.tau.0, left, right);
        let powers: Vec<G2Affine> = check.powers(OF_TAU2, &check.polynomials, follows)?;
        let single2 = check.lagrange(OF_TAU2, &powers, &check.polynomials)?;
        drop(powers);
        progress("checking the powers times α and β");
        let (alpha, of_alpha) = check.times(OF_ALPHA)?;
        let (beta, of_beta) = check.times(OF_BETA)?;
        let beta2: Vec<G2Affine> = ptau.points(section::BETA_G2, 0..1)?;
        if !same_ratio(G1Affine::generator(), beta, G2Affine::generator(), beta2[0]) {
            return Err(ptau.unusable("β in G2 is not that in G1"));
        }
        progress("writing");
        let header = Header {
            source: hex::encode(hash),
            contributions: contributions.into_iter().map(HeaderContribution::from).collect(),
            domains: domains.iter().copied().collect(),
        };
        let mut sections = vec![G1Affine::raw(&[alpha, beta]), G2Affine::raw(&beta2)];
        for ((((single, single2), of_alpha), of_beta), double) in single.into_iter().zip(single2).zip(of_alpha).zip(of_beta).zip(double) {
            sections.extend([single, single2, of_alpha, of_beta, double]);
        }
        let sections: Vec<&[u8]> = sections.iter().map(Vec::as_slice).collect();
        let file = Sections::new(Self::MARK, VERSION, &header, &sections).map_err(CeremonyError::in_file(path))?;
        Self::parse(file, path)
    }

    /// Powers that a test made.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn of_points(single: [G1Affine; 2], beta2: G2Affine, domains: &std::collections::BTreeMap<u32, Domain>) -> Self {
        let header = Header { source: "0".repeat(128), contributions: Vec::new(), domains: domains.keys().copied().collect() };
        let mut sections = vec![G1Affine::raw(&single), G2Affine::raw(&[beta2])];
        for Domain { lagrange, lagrange2, alpha, beta, double } in domains.values() {
            sections.extend([Point::raw(lagrange), Point::raw(lagrange2), Point::raw(alpha), Point::raw(beta), Point::raw(double)]);
        }
        let sections: Vec<&[u8]> = sections.iter().map(Vec::as_slice).collect();
        Self::parse(Sections::new(Self::MARK, VERSION, &header, &sections).unwrap(), Path::new("test")).unwrap()
    }

    /// Opens a file that [`Powers::save`] wrote. Its points are as good as whoever wrote it: the digests show damage, not fraud.
    ///
    /// # Errors
    /// [`CeremonyError`].
    pub fn open(path: &Path) -> Result<Self, CeremonyError> {
        Self::parse(Sections::open(path, Self::MARK, VERSION).map_err(CeremonyError::in_file(path))?, path)
    }

    fn parse(file: Sections, path: &Path) -> Result<Self, CeremonyError> {
        let malformed = |reason: String| CeremonyError::Malformed { file: path.display().to_string(), reason };
        let header: Header = file.header().map_err(CeremonyError::in_file(path))?;
        if !hex::decode(&header.source).is_ok_and(|hash| hash.len() == 64) {
            return Err(malformed("the hash of its source is not 64 bytes".into()));
        }
        if file.count() != FIRST + OF_DOMAIN * header.domains.len() || header.domains.iter().any(|level| *level > 27) {
            return Err(malformed("it has not the sections that its domains call for".into()));
        }
        let read = |error: CeremonyError| malformed(error.to_string());
        let single: Vec<G1Affine> = read_all(file.section(0), "α, β").map_err(read)?;
        let beta2: Vec<G2Affine> = read_all(file.section(1), "β in G2").map_err(read)?;
        let (&[alpha, beta], &[beta2]) = (&single[..], &beta2[..]) else {
            return Err(malformed("α or β is missing".into()));
        };
        Ok(Self { file, header, alpha, beta, beta2 })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), CeremonyError> {
        self.file.save(path).map_err(CeremonyError::io(path))
    }

    /// α and β in G1, β in G2.
    pub fn single(&self) -> (G1Affine, G1Affine, G2Affine) {
        (self.alpha, self.beta, self.beta2)
    }

    /// Name of the published file that they are from.
    pub fn published(&self) -> Option<&'static str> {
        let hash = hex::decode(&self.header.source).ok()?;
        known::name_of(&hash.try_into().ok()?)
    }

    /// BLAKE2b of the file that they are from, in hexadecimal.
    pub fn source(&self) -> &str {
        &self.header.source
    }

    /// The domains that they are for, as powers of two.
    pub fn domains(&self) -> &[u32] {
        &self.header.domains
    }

    /// Who contributed, with the hashes that they should have published, and beacons; nobody is listed for a published file.
    pub fn contributors(&self) -> Vec<String> {
        let line = |of: &HeaderContribution| match &of.beacon {
            None => format!("{:?} {}", of.name, of.response),
            Some((value, exponent)) => format!("beacon {:?} 0x{value}, 2^{exponent} times", of.name),
        };
        self.header.contributions.iter().map(line).collect()
    }

    /// Points of a domain.
    ///
    /// # Errors
    /// [`CeremonyError::Refused`] where they are not among these.
    pub fn domain(&self, level: u32) -> Result<Domain, CeremonyError> {
        let Some(index) = self.header.domains.iter().position(|of| *of == level) else {
            let domains: Vec<String> = self.header.domains.iter().map(|level| format!("2^{level}")).collect();
            let reason =
                format!("the powers are for domains of {}, not of 2^{level}: import them for this package too", domains.join(", "));
            return Err(CeremonyError::Refused(reason));
        };
        let section = |of: usize| self.file.section(FIRST + OF_DOMAIN * index + of);
        let points = Domain {
            lagrange: read_all(section(0), "the Lagrange points")?,
            // Their group was checked when they were imported, and takes longer than all else.
            lagrange2: read_curve(section(1), "the Lagrange points in G2")?,
            alpha: read_all(section(2), "the Lagrange points times α")?,
            beta: read_all(section(3), "the Lagrange points times β")?,
            double: read_all(section(4), "the Lagrange points of the double domain")?,
        };
        let n = 1 << level;
        let lengths = [points.lagrange.len(), points.lagrange2.len(), points.alpha.len(), points.beta.len(), points.double.len()];
        if lengths != [n, n, n, n, 2 * n] {
            return Err(CeremonyError::Refused(format!("the powers have not all points of a domain of 2^{level}: import them again")));
        }
        Ok(points)
    }
}

impl From<PowersContribution> for HeaderContribution {
    fn from(contribution: PowersContribution) -> Self {
        let PowersContribution { name, response, beacon } = contribution;
        Self { name, response: hex::encode(response), beacon: beacon.map(|(value, exponent)| (hex::encode(value), exponent)) }
    }
}
