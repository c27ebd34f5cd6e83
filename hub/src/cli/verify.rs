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
    let (text, wrong) = verify(data, is_every_signature)?;
    println!("{text}");
    if wrong > 0 {
        bail!("{wrong} things are wrong; what is said above is kept as evidence in the database");
    }
    Ok(())
}

/// Reads; gives what there is to say, and how many things are wrong.
fn verify(data: &Path, is_every_signature: bool) -> Result<(String, u64)> {
    let path = data.join("hub.sqlite");
    if !path.exists() {
        bail!("there is no hub in {}; name its folder with --data", data.display());
    }
    let depth = if is_every_signature { Depth::Every } else { Depth::Chains };
    let read = audit::read(&path, depth).with_context(|| format!("read {}", path.display()))?;
    let Some(journals) = read else {
        let words = "This hub belongs to no alliance yet; there is nothing to verify.";
        return Ok((words.to_owned(), 0));
    };
    let mut lines = Vec::new();
    let wrong = tell(&journals, &mut lines);
    let entries: u64 = journals.audits.iter().map(|(.., audit)| audit.entries).sum();
    let signatures: u64 = journals.audits.iter().map(|(.., audit)| audit.signatures).sum();
    lines.push(format!(
        "Read {entries} entries of {} journals; {} of them and {} statements of witnesses were \
         checked by signature{}.",
        journals.audits.len(),
        signatures,
        journals.statements,
        if is_every_signature { "" } else { ", the rest by the chain of hashes" },
    ));
    if wrong == 0 {
        lines.push("Nothing is wrong.".to_owned());
    }
    Ok((lines.join("\n"), wrong))
}

/// Tells of all journals; gives how many things are wrong.
fn tell(journals: &Journals, lines: &mut Vec<String>) -> u64 {
    let epoch = &journals.membership.newest().epoch;
    let (name_of, n, schools) = (&epoch.name, epoch.n, epoch.hubs.len());
    lines.push(format!("{name_of}, membership list {n}, {schools} schools."));
    let mut wrong = journals.wrong_statements;
    if wrong > 0 {
        lines.push(format!("WRONG: {wrong} statements of witnesses are damaged or forged."));
    }
    for (collection, author, audit) in &journals.audits {
        lines.push(format!("\n{collection} of {}: {}", name(journals, author), summary(audit)));
        let problems = audit.problems.iter().map(|problem| by_name(journals, problem.to_string()));
        lines.extend(problems.map(|problem| format!("  WRONG: {problem}.")));
        wrong += audit.problem_count;
        lines.extend(proven(journals, audit).into_iter().map(|line| format!("  {line}")));
    }
    for (collection, author, count) in &journals.contradictions {
        let school = name(journals, author);
        lines.push(format!(
            "\nWRONG: {count} entries contradict the journal of {school} in {collection}."
        ));
        wrong += count;
    }
    lines.push(String::new());
    wrong
}

fn name(journals: &Journals, hub: &HubId) -> String {
    let member = journals.membership.newest().epoch.member(hub);
    let school = member.map_or_else(|| hub.short(), |member| member.school.clone());
    let is_own = journals.own.is_some_and(|(own, _)| own == *hub);
    if is_own { format!("{school} (this school)") } else { school }
}

/// Puts the names of schools in the place of their hubs' numbers.
fn by_name(journals: &Journals, text: String) -> String {
    let hubs = journals.membership.newest().epoch.hubs.iter();
    hubs.fold(text, |text, member| text.replace(&member.hub.short(), &member.school))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit::tests::{Filled, hub};

    #[test]
    fn the_command_says_what_is_proven_and_finds_a_copy_that_somebody_changed() {
        let filled = Filled::new(3, 5);
        for is_every_signature in [false, true] {
            let (text, wrong) = verify(filled.path(), is_every_signature).unwrap();
            assert!(wrong == 0 && text.ends_with("Nothing is wrong."), "{text}");
            for part in
                ["3 schools", "第1小学 (this school)", "第3小学 has signed that", "Witnesses: 2"]
            {
                assert!(text.contains(part), "{part}: {text}");
            }
            run(filled.path(), is_every_signature).unwrap();
        }
        let of = format!("where author = x'{}'", hub(2));
        filled.meddle(&format!("delete from envelopes {of} and seq = 3"));
        let (text, wrong) = verify(filled.path(), false).unwrap();
        assert!(wrong > 0 && !text.contains("Nothing is wrong"), "{text}");
        let journal = text.lines().find(|line| line.contains("第2小学")).unwrap();
        assert!(!journal.contains("whole"), "{journal}");
        assert!(text.contains("  WRONG: entries 3 to 3 are missing."), "{text}");
        let error = run(filled.path(), false).unwrap_err();
        assert!(error.to_string().contains("kept as evidence"), "{error}");
        // What others have countersigned is missed at the end too, by the name of who has.
        let filled = Filled::new(3, 5);
        let own = hub(1);
        filled.meddle(&format!("delete from envelopes where author = x'{own}' and seq > 2"));
        filled.meddle(&format!("update journal_heads set seq = 2 where author = x'{own}'"));
        let (text, _) = verify(filled.path(), false).unwrap();
        assert!(text.contains("WRONG: 第2小学 has countersigned 4 entries"), "{text}");
        let nothing = tempfile::tempdir().unwrap();
        assert!(run(nothing.path(), false).unwrap_err().to_string().contains("--data"));
    }
}
