use std::collections::BTreeSet;

use rusqlite::Connection;
use yingxue_sync_core::event::MemberView;
use yingxue_sync_core::id::{BlobId, HubId};

use super::{HubReach, WaitingReason, hub, waiting};
use crate::db::MIGRATIONS;
use crate::driver::ContactsView;

#[test]
fn a_track_says_that_the_disk_is_full_if_that_is_why_it_waits() {
    let db = Connection::open_in_memory().unwrap();
    MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration.sql).unwrap());
    db.execute_batch(
        "insert into lessons values
         (zeroblob(16), 1, 0, '', '', '', '', '', zeroblob(32), '', 0, 0, 0);
         insert into lesson_tracks values
         (zeroblob(16), 'audio', zeroblob(32), '', null, null, 5, 0, 0, 1, zeroblob(32)),
         (zeroblob(16), 'source', randomblob(32), '', null, null, 5, 0, 2, 1, zeroblob(32));",
    )
    .unwrap();
    let found = waiting(&db, &BTreeSet::from([BlobId([0; 32])])).unwrap();
    let reasons: Vec<_> = found.iter().map(|one| (one.track.as_str(), one.reason)).collect();
    assert_eq!(reasons, [("audio", Some(WaitingReason::DiskFull)), ("source", None)]);
}

#[test]
fn a_hub_that_is_not_met_is_tried_unless_this_hub_is_cut_off() {
    let (member, view) = (member(), ContactsView::default());
    assert_eq!(hub(&member, &view, true, None).state, HubReach::Trying);
    assert_eq!(hub(&member, &view, false, None).state, HubReach::Offline);
    let dial_errors = vec![(member.hub, "refused".to_owned())];
    let failed = hub(&member, &ContactsView { dial_errors, ..view }, true, Some(7));
    assert_eq!((failed.state, failed.since), (HubReach::Trying, Some(7)));
    assert_eq!(failed.last_error.as_deref(), Some("refused"));
}

fn member() -> MemberView {
    let (hub, school) = (HubId([1; 32]), "二小".to_owned());
    MemberView { hub, school, is_lead: false, addresses: Vec::new() }
}
