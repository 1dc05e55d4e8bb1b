//! The remedies themselves, by what they speak of.

mod anyone;
mod limits;
mod looks;
mod products;
mod runtimes;
mod servers;

use super::remedy::Remedy;

/// All of them. Where several of one topic fit equally well, they are printed in this order.
pub(super) fn all() -> impl Iterator<Item = &'static Remedy> {
    [
        anyone::REMEDIES,
        limits::REMEDIES,
        looks::REMEDIES,
        products::REMEDIES,
        runtimes::REMEDIES,
        servers::REMEDIES,
    ]
    .into_iter()
    .flatten()
}
