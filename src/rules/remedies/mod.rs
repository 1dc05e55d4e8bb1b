//! What to do, as data: each remedy declares its findings, its audience, the facts it needs and the facts that
//! refute it.

mod facts;
mod remedy;
mod table;

use super::Advice;
use remedy::{Remedy, Topic};

pub(super) use facts::{Cause, Claim, Facts};

/// Returns the remedies for these facts, in the order of their topics. Of several on one topic only the
/// closest are returned.
pub(super) fn remedies(facts: &Facts) -> Vec<Advice> {
    let mut fitting: Vec<(&Remedy, u8)> = table::all()
        .filter_map(|remedy| Some((remedy, remedy.fits(facts)?)))
        .collect();
    let closest = |topic: Topic| {
        let same = fitting.iter().filter(|(remedy, _)| remedy.topic == topic);
        same.map(|(_, rank)| *rank).max()
    };
    let best: Vec<Option<u8>> = fitting
        .iter()
        .map(|(remedy, _)| closest(remedy.topic))
        .collect();
    let mut best = best.into_iter();
    fitting.retain(|(_, rank)| best.next() == Some(Some(*rank)));
    fitting.sort_by_key(|(remedy, _)| remedy.topic);
    fitting
        .into_iter()
        .map(|(remedy, _)| facts.advice(remedy.text))
        .collect()
}

#[cfg(test)]
mod tests;
