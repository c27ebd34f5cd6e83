//! Epochs and envelopes out of a damaged database. They prove by themselves what they are: each
//! is verified and judged as if another hub had sent it.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params};
use yingxue_sync_core::id::{CollectionId, Hash, HubId};
use yingxue_sync_core::journal::{EnvelopeError, Journals, SignedEnvelope, Verdict};
use yingxue_sync_core::membership::{Fit, Membership, SignedEpoch};

use super::report::Report;
use super::tree::Row;
use crate::store::{disputed, journals};

/// Epochs found; an alliance of 2,000 hubs that each moved twice.
const EPOCHS_MAX: usize = 8_192;
/// Envelopes found that are not in the copy; more than a term of a busy alliance.
const FOUND_MAX: i64 = 1_000_000;

/// Epochs found, by number.
#[derive(Default)]
pub(super) struct Epochs(BTreeMap<(u64, Hash), SignedEpoch>);

impl Epochs {
    /// Keeps a row that is a signed epoch; says whether it is one.
    pub(super) fn take(&mut self, row: &Row) -> bool {
        let [Value::Null, Value::Blob(bytes)] = &row.columns[..] else { return false };
        let Ok(signed) = SignedEpoch::decode(bytes) else { return false };
        if self.0.len() < EPOCHS_MAX {
            self.0.insert((signed.epoch.n, signed.hash), signed);
        }
        true
    }

    /// Adds those that follow what the copy has, or begin the alliance of this hub.
    pub(super) fn join(
        self,
        tx: &Transaction<'_>,
        own: Option<&HubId>,
        report: &mut Report,
    ) -> rusqlite::Result<Option<Membership>> {
        let Some(mut membership) = self.first(tx, own)? else { return Ok(None) };
        for (_, next) in self.0 {
            if matches!(membership.fits(&next), Ok(Fit::Next | Fit::Replaces)) {
                journals::put_epoch(tx, next.epoch.n, &next.bytes)?;
                membership.push(next);
                report.epochs_salvaged += 1;
            }
        }
        Ok(Some(membership))
    }

    /// Reads the membership of the copy; if it has none, chooses a first epoch.
    fn first(
        &self,
        tx: &Transaction<'_>,
        own: Option<&HubId>,
    ) -> rusqlite::Result<Option<Membership>> {
        let mut kept = tx.prepare("select bytes from epochs order by n")?;
        let kept: Vec<Vec<u8>> =
            kept.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if let Some((first, rest)) = kept.split_first() {
            let first = SignedEpoch::decode(first).and_then(Membership::start);
            let Ok(mut membership) = first else { return Ok(None) };
            let rest = rest.iter().filter_map(|bytes| SignedEpoch::decode(bytes).ok());
            rest.for_each(|next| membership.push(next));
            return Ok(Some(membership));
        }
        // Of several alliances, that of which this hub is a member.
        let is_own = |signed: &&SignedEpoch| {
            let alliance = signed.epoch.alliance;
            let epochs = self.0.values().filter(|it| it.epoch.alliance == alliance);
            own.is_some_and(|own| epochs.into_iter().any(|it| it.epoch.member(own).is_some()))
        };
        let firsts = self.0.values().filter(|signed| signed.epoch.n == 0);
        let Some(first) = firsts.into_iter().find(is_own) else { return Ok(None) };
        journals::put_epoch(tx, 0, &first.bytes)?;
        Ok(Membership::start(first.clone()).ok())
    }
}

/// Says whether a row is a signed envelope.
pub(super) fn is_envelope(row: &Row) -> bool {
    let found = shaped_as_envelope(&row.columns);
    found.is_some_and(|(hash, bytes)| {
        blake3::hash(bytes).as_bytes()[..] == *hash && SignedEnvelope::decode(bytes).is_ok()
    })
}

/// Keeps a row that is a signed envelope and is not in the copy, to be judged; says whether it
/// is an envelope.
pub(super) fn keep_envelope(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<bool> {
    const HELD: &str = "select 1 from envelopes \
         where collection = ?1 and author = ?2 and seq = ?3 and hash = ?4";
    const KEEP: &str = "insert or ignore into envelopes_waiting \
         (collection, author, seq, hash, bytes) select ?1, ?2, ?3, ?4, ?5 \
         where (select coalesce(max(rowid), 0) from envelopes_waiting) < ?6";
    let Some((hash, bytes)) = shaped_as_envelope(&row.columns) else { return Ok(false) };
    if blake3::hash(bytes).as_bytes()[..] != *hash {
        return Ok(false);
    }
    let Ok(signed) = SignedEnvelope::decode(bytes) else { return Ok(false) };
    let it = signed.record();
    let key = params![it.collection.0, it.author.as_bytes(), it.seq, it.hash.as_bytes()];
    let is_held = tx.prepare_cached(HELD)?.query_row(key, |_| Ok(())).optional()?.is_some();
    if !is_held {
        tx.prepare_cached(KEEP)?.execute(params![
            it.collection.0,
            it.author.as_bytes(),
            it.seq,
            it.hash.as_bytes(),
            it.bytes,
            FOUND_MAX,
        ])?;
    }
    Ok(true)
}

/// Recognises the rows of the three tables that hold envelopes: collection, author, place and
/// hash one after another, the signed bytes last.
fn shaped_as_envelope(columns: &[Value]) -> Option<(&[u8], &[u8])> {
    let rest = match columns {
        [Value::Null, rest @ ..] => rest,
        all => all,
    };
    match rest {
        [
            Value::Text(_),
            Value::Blob(author),
            Value::Integer(_),
            Value::Blob(hash),
            ..,
            Value::Blob(bytes),
        ] if author.len() == 32 && hash.len() == 32 => Some((hash, bytes)),
        _ => None,
    }
}

/// Appends the envelopes that were found and are the next of their journals; what contradicts
/// the copy is kept as evidence, what comes behind a gap waits.
pub(super) fn join(
    tx: &Transaction<'_>,
    membership: Option<&Membership>,
    report: &mut Report,
) -> rusqlite::Result<()> {
    const FOUND: &str = "select rowid, bytes from envelopes_waiting \
         where (collection, author, seq, hash) > (?1, ?2, ?3, ?4) \
         order by collection, author, seq, hash limit 1";
    let kept = journals::restore(tx)?;
    let mut journals = Journals::restore(&kept.heads, &kept.fingerprints);
    let mut after = (CollectionId(String::new()), HubId([0; 32]), 0, Hash([0; 32]));
    while let Some((rowid, bytes)) = tx
        .prepare_cached(FOUND)?
        .query_row(params![after.0.0, after.1.as_bytes(), after.2, after.3.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?
    {
        let Ok(signed) = SignedEnvelope::decode(&bytes) else { break };
        let it = &signed.envelope;
        after = (it.collection.clone(), it.author, it.seq, signed.hash);
        let waits = match membership {
            Some(membership) => judge(tx, &mut journals, membership, &signed, report)?,
            // It is judged once this hub is a member again.
            None => true,
        };
        if !waits {
            tx.execute("delete from envelopes_waiting where rowid = ?1", [rowid])?;
        }
    }
    let waiting = "select count(*) from envelopes_waiting";
    report.entries_waiting = super::count(tx, waiting)?;
    Ok(())
}

/// Judges one envelope and does what follows; says whether it waits.
fn judge(
    tx: &Transaction<'_>,
    journals: &mut Journals,
    membership: &Membership,
    signed: &SignedEnvelope,
    report: &mut Report,
) -> rusqlite::Result<bool> {
    match journals.judge(membership, signed) {
        Ok(Verdict::Next) => {
            journals.push(signed);
            let fingerprint = journals.fingerprint(&signed.envelope.collection);
            journals::append(tx, &[signed.record()], &fingerprint)?;
            report.entries_salvaged += 1;
            Ok(false)
        }
        Ok(Verdict::Known) => Ok(false),
        Ok(Verdict::Gap | Verdict::UnknownEpoch) => Ok(true),
        Ok(Verdict::PastRevocation) | Err(EnvelopeError::Fork) => {
            disputed::set_aside(tx, &[signed.record()])?;
            report.entries_aside += 1;
            Ok(false)
        }
        Err(_) => Ok(false),
    }
}
