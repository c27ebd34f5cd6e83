//! How much still counts of hubs that were taken out: what the registrar knew of, and what an
//! envelope that counts builds on, whoever brought it and whenever (DESIGN §5).

use std::collections::BTreeMap;

use super::SignedEnvelope;
use crate::doc;
use crate::id::HubId;

/// Gives how far journals count, from how far the registrar lets them count.
///
/// `envelopes` are those of every document that anything past a limit changes, in any order;
/// an author without a limit counts wholly. More envelopes never give less.
pub fn counted_upto(
    limits: &BTreeMap<HubId, u64>,
    envelopes: &[SignedEnvelope],
) -> BTreeMap<HubId, u64> {
    let mut entries = Vec::with_capacity(envelopes.len());
    let mut past = BTreeMap::new();
    for signed in envelopes {
        let place = (signed.envelope.author, signed.envelope.seq);
        // What does not decode was refused when it came.
        let Ok(links) = doc::links_of(&signed.changes) else { continue };
        for (hash, deps) in links {
            if limits.get(&place.0).is_some_and(|limit| place.1 > *limit) {
                past.insert(hash, place);
            }
            entries.push((place, deps));
        }
    }
    let mut counted = limits.clone();
    loop {
        let counts = |(author, seq): &(HubId, u64)| counted.get(author).is_none_or(|c| seq <= c);
        let wanted = entries.iter().filter(|(place, _)| counts(place)).flat_map(|(_, deps)| deps);
        let raised: Vec<(HubId, u64)> = wanted
            .filter_map(|dep| past.get(dep))
            .filter(|place| !counts(place))
            .copied()
            .collect();
        if raised.is_empty() {
            return counted;
        }
        for (author, seq) in raised {
            let upto = counted.entry(author).or_default();
            *upto = (*upto).max(seq);
        }
    }
}
