//! How sure a conclusion is.

/// How sure a conclusion is. Ordered: the surest is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It fits what was seen; other things would fit as well.
    Possible,
    /// Other explanations need a coincidence.
    Likely,
    /// What was seen allows no other explanation.
    Certain,
}
