//! `yingxue alliance verify`: what is proven of every journal here, since when and by whom.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use yingxue_sync_core::audit::{Audit, CLOCK_DOUBT_MS, Depth, Proof};
use yingxue_sync_core::id::HubId;

use crate::store::audit::{self, Journals};
use crate::timetable::day::date_at;

/// Minutes that a hub's clock is ahead of UTC if it has never said: China's.
const UTC_OFFSET_MIN: i32 = 480;

/// Reads and prints; fails if something is wrong.
pub(super) fn run(data: &Path, is_every_signature: bool) -> Result<()> {
    let path = data.join("hub.sqlite");
    if !path.exists() {
        bail!("there is no hub in {}; name its folder with --data", data.display());
    }
    let depth = if is_every_signature { Depth::Every } else { Depth::Chains };
    let read = audit::read(&path, depth).with_context(|| format!("read {}", path.display()))?;
    let Some(journals) = read else {
        println!("This hub belongs to no alliance yet; there is nothing to verify.");
        return Ok(());
    };
    let wrong = print(&journals);
    let entries: u64 = journals.audits.iter().map(|(.., audit)| audit.entries).sum();
    let signatures: u64 = journals.audits.iter().map(|(.., audit)| audit.signatures).sum();
    println!(
        "Read {entries} entries of {} journals; {} of them and {} statements of witnesses were \
         checked by signature{}.",
        journals.audits.len(),
        signatures,
        journals.statements,
        if is_every_signature { "" } else { ", the rest by the chain of hashes" },
    );
    if wrong > 0 {
        bail!("{wrong} things are wrong; what is said above is kept as evidence in the database");
    }
    println!("Nothing is wrong.");
    Ok(())
}

/// Prints all journals; gives how many things are wrong.
fn print(journals: &Journals) -> u64 {
    let epoch = &journals.membership.newest().epoch;
    println!("{}, membership list {}, {} schools.", epoch.name, epoch.n, epoch.hubs.len());
    let mut wrong = journals.wrong_statements;
    if wrong > 0 {
        println!("WRONG: {wrong} statements of witnesses are damaged or forged.");
    }
    for (collection, author, audit) in &journals.audits {
        println!("\n{collection} of {}: {}", name(journals, author), summary(audit));
        audit.problems.iter().for_each(|problem| println!("  WRONG: {problem}."));
        wrong += audit.problem_count;
        for line in proven(journals, audit) {
            println!("  {line}");
        }
    }
    for (collection, author, count) in &journals.contradictions {
        let school = name(journals, author);
        println!("\nWRONG: {count} entries contradict the journal of {school} in {collection}.");
        wrong += count;
    }
    println!();
    wrong
}

fn name(journals: &Journals, hub: &HubId) -> String {
    let member = journals.membership.newest().epoch.member(hub);
    let school = member.map_or_else(|| hub.short(), |member| member.school.clone());
    let is_own = journals.own.is_some_and(|(own, _)| own == *hub);
    if is_own { format!("{school} (this school)") } else { school }
}

fn summary(audit: &Audit) -> String {
    let state = match audit.problem_count {
        0 => "whole, in order, signed".to_owned(),
        listed if listed > audit.problems.len() as u64 => format!("{listed} things are wrong"),
        _ => "something is wrong".to_owned(),
    };
    format!("{} entries, {state}.", audit.entries)
}

/// Says what witnesses prove, and what they leave in doubt.
fn proven(journals: &Journals, audit: &Audit) -> Vec<String> {
    let mut lines = Vec::new();
    let witnesses: BTreeSet<HubId> = audit.proofs.iter().map(|proof| proof.witness).collect();
    match (audit.proofs.first(), audit.proofs.last()) {
        (Some(first), Some(last)) => {
            lines.push(proof(journals, last, audit));
            if first.seq < last.seq {
                lines.push(proof(journals, first, audit));
            }
            lines.push(format!("Witnesses: {}.", witnesses.len()));
        }
        _ => lines.push("No other school has countersigned any of it that is here.".to_owned()),
    }
    for (witness, seq) in &audit.ahead {
        let witness = name(journals, witness);
        lines.push(format!("{witness} has countersigned {seq} entries; the rest is not here yet."));
    }
    if audit.backdated > 0 {
        lines.push(format!(
            "DOUBT: {} entries say that they were written more than a day before a witness saw \
             that they were not there: they are later than they say, or the clock was wrong.",
            audit.backdated
        ));
    }
    if audit.trespasses > 0 {
        lines.push(format!(
            "{} entries change documents of another school; they have no effect.",
            audit.trespasses
        ));
    }
    lines
}

fn proof(journals: &Journals, proof: &Proof, audit: &Audit) -> String {
    let offset_min = journals.own.map_or(UTC_OFFSET_MIN, |(_, offset_min)| offset_min);
    let date = |ms: u64| date_at(i64::try_from(ms).unwrap_or(i64::MAX), offset_min);
    let upto = match proof.seq {
        seq if seq == audit.last_seq => "All entries".to_owned(),
        seq => format!("Entries up to {seq}"),
    };
    let witness = name(journals, &proof.witness);
    let (said, came) = (proof.witnessed_at_wall_ms, proof.received_at_wall_ms);
    let doubt = match said.abs_diff(came) > CLOCK_DOUBT_MS {
        true => format!(" by its clock (by this hub's it was {})", date(came)),
        false => String::new(),
    };
    let at = date(said);
    format!("{upto} are the same since {at}{doubt}: {witness} has signed that.")
}
