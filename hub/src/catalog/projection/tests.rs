use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use yingxue_sync_core::doc::Doc;
use yingxue_sync_core::event::{DocEdit, DocValue};
use yingxue_sync_core::id::{BlobId, DocId, HubId};
use yingxue_sync_core::plan::Urgency;

use super::{Projected, project, rebuild, renew};
use crate::catalog::outline::{self, Chapter, Outline};
use crate::catalog::query::{self, Status};
use crate::catalog::readiness::{ReadinessState, TrackKind};
use crate::catalog::{self, NewComment, NewLesson, NewTrack, collection, thread_of, wants};
use crate::config::{ByDay, NightConfig};
use crate::db::{Db, MIGRATIONS};
use crate::night::policy::Policy;
use crate::night::tonight::{self, Given};

const LESSON: DocId = DocId([1; 16]);

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration.sql).unwrap());
    db
}

fn lesson() -> NewLesson {
    NewLesson {
        title: "光合作用".to_owned(),
        subject: "biology".to_owned(),
        grade: "7".to_owned(),
        teacher: "王老师".to_owned(),
        school: "一中".to_owned(),
        school_hub: HubId([9; 32]),
        filename: "光合作用.mp4".to_owned(),
        created_at_ms: 1_000,
    }
}

fn track(kind: &str, blob: u8) -> NewTrack {
    NewTrack {
        kind: kind.to_owned(),
        blob: BlobId([blob; 32]),
        bytes: 10,
        codecs: "opus".to_owned(),
        width: None,
        height: Some(360),
    }
}

fn comment(op: u8, text: &str) -> NewComment {
    NewComment {
        op: [op; 16],
        author: "p1".to_owned(),
        name: "李老师".to_owned(),
        school: "二小".to_owned(),
        school_hub: HubId([8; 32]),
        text: text.to_owned(),
        at_ms: Some(5),
        written_at_ms: i64::from(op),
    }
}

fn outline() -> Outline {
    let chapter = |at_ms, title: &str| Chapter { at_ms, title: title.to_owned() };
    Outline::new([chapter(0, "复习"), chapter(30_000, "新课")], vec![0, 130, 255])
}

/// Saves edits as the store does.
fn save(db: &Connection, id: &DocId, edits: &[DocEdit]) -> Projected {
    let sql = "select snapshot from docs where doc = ?1";
    let before: Option<Vec<u8>> = db.query_row(sql, [id.as_bytes()], |row| row.get(0)).ok();
    let mut doc = Doc::load(before.as_deref()).unwrap();
    doc.edit([1; 16], 0, edits).unwrap();
    let snapshot = doc.save();
    let sql = "insert or replace into docs (collection, doc, snapshot) values (?1, ?2, ?3)";
    db.execute(sql, (&collection().0, id.as_bytes(), &snapshot)).unwrap();
    written(db, id, [9; 32]);
    project(db, &collection(), id, &snapshot).unwrap()
}

/// Appends an envelope of `author`, as far as the projection looks at it.
fn written(db: &Connection, id: &DocId, author: [u8; 32]) {
    let sql = "insert into envelopes (collection, author, seq, hash, doc, bytes) values (?1, ?2, \
         (select count(*) + 1 from envelopes), x'', ?3, x'')";
    db.execute(sql, (&collection().0, author, id.as_bytes())).unwrap();
}

fn rows(db: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    for table in
        ["lessons", "lesson_posters", "lesson_outlines", "lesson_tracks", "blob_refs", "comments"]
    {
        let mut statement = db.prepare(&format!("select * from {table} order by 1, 2")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|i| format!("{:?}", row.get_ref(i))).collect();
            all.push(format!("{table} {}", values.join(" ")));
        }
    }
    all
}

fn total(db: &Connection) -> i64 {
    db.query_row("select lessons from catalog_count", [], |row| row.get(0)).unwrap()
}

#[test]
fn rows_made_again_from_documents_equal_those_made_step_by_step() {
    let db = database();
    let tracks = [track("audio", 1), track("source", 2)];
    let poster = Some(vec![0xff, 0xd8, 1]);
    let mut edits = catalog::lesson_edits(&lesson(), 60_000, poster, &tracks);
    edits.extend(outline().edits());
    assert_eq!(save(&db, &LESSON, &edits), Projected::Lesson(LESSON));
    let thread = thread_of(&LESSON);
    for op in [3, 4] {
        let edits = catalog::comment_edits(&LESSON, &comment(op, "好"));
        assert_eq!(save(&db, &thread, &edits), Projected::Thread(LESSON));
    }
    save(&db, &thread, &[catalog::comment_deleted_edit(&[3; 16])]);
    save(&db, &LESSON, &[catalog::text_edit("title", "呼吸作用")]);
    save(&db, &DocId([2; 16]), &catalog::lesson_edits(&lesson(), 1, None, &[track("audio", 1)]));
    save(&db, &DocId([2; 16]), &[catalog::deleted_edit(true)]);
    let before = rows(&db);
    assert_eq!(before.len(), 2 + 1 + 1 + 3 + 3 + 2);
    assert_eq!(total(&db), 1);
    rebuild(&db).unwrap();
    assert_eq!(rows(&db), before);
    assert_eq!(total(&db), 1);
}

#[test]
fn a_blob_that_was_named_once_stays_named_when_somebody_takes_it_out_of_the_document() {
    let db = database();
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[track("audio", 1)]));
    save(&db, &LESSON, &[DocEdit::Delete { path: vec!["tracks".into()] }]);
    let named = |db: &Connection| -> i64 {
        db.query_row("select count(*) from blob_refs", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(named(&db), 1);
    rebuild(&db).unwrap();
    assert_eq!(named(&db), 1);
}

#[test]
fn a_thread_writes_the_comments_that_have_changed_and_drops_those_that_are_gone() {
    let db = database();
    let thread = thread_of(&LESSON);
    for op in [3, 4, 5] {
        save(&db, &thread, &catalog::comment_edits(&LESSON, &comment(op, "好")));
    }
    let changes = || -> i64 {
        let sql = "select total_changes()";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let cost = |edits: &[DocEdit]| {
        let before = changes();
        save(&db, &thread, edits);
        changes() - before - 2 // the document's row and the envelope's
    };
    assert_eq!(cost(&[]), 0);
    assert_eq!(cost(&catalog::comment_edits(&LESSON, &comment(6, "谢谢"))), 1);
    assert_eq!(cost(&[catalog::comment_deleted_edit(&[4; 16])]), 1);
    let path = vec![format!("c:{}", DocId([5; 16]))];
    assert_eq!(cost(&[DocEdit::Delete { path }]), 1);
    let shown: String = db
        .query_row(
            "select group_concat(hex(substr(op, 1, 1)) || is_deleted) from comments",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(shown, "030,041,060");
}

#[test]
fn a_lesson_that_is_only_being_made_survives_a_rebuild() {
    let db = database();
    db.execute(
        "insert into jobs (kind, lesson_id, title, payload, state, created_at) \
         values ('import', ?1, '力', '{\"subject\": \"physics\", \"filename\": \"a.mp4\"}', \
         'queued', 7)",
        [LESSON.as_bytes()],
    )
    .unwrap();
    assert_eq!(total(&db), 1);
    rebuild(&db).unwrap();
    let sql = "select title || subject || filename from lessons where is_published = 0";
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), "力physicsa.mp4");
    db.execute("update jobs set state = 'cancelled'", []).unwrap();
    assert_eq!(total(&db), 0);
    db.execute("update jobs set state = 'queued'", []).unwrap();
    assert_eq!(total(&db), 1);
}

#[test]
fn deleted_lessons_are_not_wanted_and_restored_ones_are_again() {
    let db = database();
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[track("audio", 1)]));
    let wants = || catalog::wants::unclaimed(&db, 512).unwrap().len();
    assert_eq!(wants(), 1);
    save(&db, &LESSON, &[catalog::deleted_edit(true)]);
    assert_eq!((wants(), total(&db)), (0, 0));
    save(&db, &LESSON, &[catalog::deleted_edit(false)]);
    assert_eq!((wants(), total(&db)), (1, 1));
}

#[test]
fn a_lesson_belongs_to_the_school_whose_hub_wrote_it_first() {
    let db = database();
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[]));
    written(&db, &LESSON, [7; 32]);
    let stolen = NewLesson { school_hub: HubId([7; 32]), ..lesson() };
    save(&db, &LESSON, &catalog::lesson_edits(&stolen, 1, None, &[]));
    let sql = "select school_hub from lessons";
    let owner: [u8; 32] = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(owner, [9; 32]);
    rebuild(&db).unwrap();
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, [u8; 32]>(0)).unwrap(), owner);
}

#[test]
fn what_a_class_needs_of_every_lesson_comes_first_and_new_lessons_before_old() {
    let db = database();
    let kinds = TrackKind::ALL.map(TrackKind::as_str);
    let place = |kind: &str| kinds.iter().position(|known| *known == kind).unwrap();
    for n in 1..=2 {
        // Not in their order; a kind of a newer hub is passed on after all the others.
        let mut tracks = vec![track("holograms", 100 + n)];
        let blob = |kind: &str| u8::try_from(place(kind)).unwrap() * 10 + n;
        tracks.extend(kinds.iter().rev().map(|kind| track(kind, blob(kind))));
        let lesson = NewLesson { created_at_ms: i64::from(n), ..lesson() };
        save(&db, &DocId([n; 16]), &catalog::lesson_edits(&lesson, 1, None, &tracks));
    }
    let policy = Policy::new(NightConfig { by_day: ByDay::Always, ..Default::default() }, 480);
    let given = Given {
        now_ms: 1_795_363_200_000,
        hub: HubId([1; 32]),
        members: vec![],
        contacts: &[],
        stalled: BTreeSet::new(),
        files: None,
    };
    let wants = tonight::make(&db, &policy, &given).unwrap().wants;
    let order: Vec<u8> = wants.iter().map(|want| want.blob.0[0]).collect();
    let expected: Vec<u8> = (0..=10).flat_map(|class| [class * 10 + 2, class * 10 + 1]).collect();
    assert_eq!(order, expected);
    let priorities: Vec<u32> = (0..22).map(|place| Urgency::Rest.priority(place)).collect();
    assert_eq!(wants.iter().map(|want| want.priority).collect::<Vec<_>>(), priorities);
}

/// Saves a lesson that a hub has written, with a track of a kind.
fn save_of(db: &Connection, n: u16, school: u8, created_at_ms: i64, kind: &str) {
    let mut id = [school; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let mut blob = [school; 32];
    blob[..2].copy_from_slice(&n.to_be_bytes());
    let lesson = NewLesson { created_at_ms, ..lesson() };
    let tracks = [NewTrack { blob: BlobId(blob), ..track(kind, 0) }];
    // Who writes first is whose it is.
    written(db, &DocId(id), [school; 32]);
    save(db, &DocId(id), &catalog::lesson_edits(&lesson, 1, None, &tracks));
}

#[test]
fn a_school_that_publishes_without_end_does_not_keep_the_others_from_coming() {
    let db = database();
    for n in 0..600 {
        save_of(&db, n, 7, 4_000_000_000_000, "audio");
    }
    save_of(&db, 1, 8, 10, "audio");
    save_of(&db, 2, 8, 20, "audio");
    save_of(&db, 1, 6, 10, "source");
    let wants = wants::unclaimed(&db, wants::WANTS_MAX).unwrap();
    let schools: Vec<u8> = wants.iter().take(5).map(|it| it.school_hub.0[0]).collect();
    assert_eq!(schools, [7, 8, 6, 7, 8], "in turns; of each what a class needs first");
    assert_eq!(wants[1].blob.0[1], 2, "the newest of each first");
    assert_eq!((wants.len(), wants[2].is_original), (wants::WANTS_MAX, true));
    let few = wants::unclaimed(&db, 4).unwrap();
    assert_eq!(few, wants[..4], "the same, however many are asked for");
    assert_eq!(wants::unclaimed(&database(), 4).unwrap(), []);
}

#[test]
fn what_a_document_says_of_times_and_sizes_stays_within_bounds() {
    let db = database();
    let future = NewLesson { created_at_ms: 4_000_000_000_000, ..lesson() };
    let huge = |kind, blob| NewTrack { bytes: i64::MAX as u64, ..track(kind, blob) };
    let tracks = [huge("audio", 1), huge("slides", 2), huge("source", 3)];
    save(&db, &LESSON, &catalog::lesson_edits(&future, 1, None, &tracks));
    let sum = "select sum(bytes) from lesson_tracks";
    let bytes: i64 = db.query_row(sum, [], |row| row.get(0)).unwrap();
    assert_eq!(bytes, 3 * (64 << 30));
    let at = |db: &Connection| -> i64 {
        db.query_row("select created_at_ms from lessons", [], |row| row.get(0)).unwrap()
    };
    let now = crate::app::now_ms();
    assert!((now - 60_000..=now).contains(&at(&db)), "when it arrived");
    // A clock that has stopped is not believed over what was seen before.
    db.execute("update night_state set seen_at_ms = 3900000000000", []).unwrap();
    rebuild(&db).unwrap();
    assert_eq!(at(&db), 3_900_000_000_000);
}

#[test]
fn kinds_that_nobody_knows_do_not_push_out_those_that_a_class_needs() {
    let db = database();
    let junk: Vec<String> = (0..40).map(|n| format!("a-{n:02}")).collect();
    let mut tracks: Vec<NewTrack> = junk.iter().map(|kind| track(kind, 1)).collect();
    tracks.extend([track("video-480", 2), track("slides", 3)]);
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &tracks));
    let sql = "select group_concat(kind, ' ') from (select kind from lesson_tracks \
         order by class, kind limit 3)";
    let first: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(first, "slides video-480 a-00");
    let shown =
        query::detail(&db, &LESSON, &HubId([9; 32]), false, &BTreeSet::new()).unwrap().unwrap();
    assert_eq!(shown.tracks.len(), 2);
    let kept: i64 =
        db.query_row("select count(*) from lesson_tracks", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 16);
}

#[test]
fn a_lesson_whose_original_is_not_fetched_is_wholly_here() {
    let db = database();
    let tracks = [track("audio", 1), track("slides", 2), track("source", 3)];
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &tracks));
    let hold = |blob: u8, held: u8| {
        const HOLD: &str = "insert into blobs values (?1, 2, ?2, 5 * ?2, 10, ?2 = 2, x'', x'')";
        db.execute(HOLD, rusqlite::params![[blob; 32], held]).unwrap();
    };
    let shown = || {
        let shown = query::detail(&db, &LESSON, &HubId([9; 32]), false, &BTreeSet::new());
        let lesson = shown.unwrap().unwrap().lesson;
        (lesson.status, lesson.readiness.state)
    };
    hold(1, 2);
    assert_eq!(shown(), (Status::Receiving, ReadinessState::NotReady));
    hold(2, 2);
    assert_eq!(shown(), (Status::Ready, ReadinessState::Ready));
    hold(3, 1);
    assert_eq!(shown(), (Status::Receiving, ReadinessState::Ready), "it comes, and shows how far");
}

#[test]
fn a_track_that_is_added_later_leaves_what_was_changed_meanwhile() {
    let db = database();
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[track("audio", 1)]));
    save(&db, &LESSON, &[catalog::text_edit("title", "新"), catalog::deleted_edit(true)]);
    save(&db, &LESSON, &[catalog::track_edit(&track("video-480", 2))]);
    let sql = "select title || is_deleted || (select count(*) from lesson_tracks) from lessons";
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), "新12");
}

#[test]
fn an_outline_is_read_back_and_one_beyond_the_bounds_is_none() {
    let db = database();
    save(&db, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[]));
    assert_eq!(outline::find(&db, &LESSON).unwrap(), Outline::default());
    save(&db, &LESSON, &outline().edits());
    assert_eq!(outline::find(&db, &LESSON).unwrap(), outline());
    let put = |key: &str, value| DocEdit::Put { path: vec![key.to_owned()], value };
    let long = format!("[{{\"at_ms\": 1, \"title\": \"{}\"}}]", "章".repeat(6_000));
    save(&db, &LESSON, &[put("peaks", DocValue::Bytes(vec![1; 36_001]))]);
    assert_eq!(outline::find(&db, &LESSON).unwrap().peaks, None);
    save(&db, &LESSON, &[put("chapters", DocValue::Str(long))]);
    assert_eq!(outline::find(&db, &LESSON).unwrap(), Outline::default());
}

#[test]
fn rows_that_an_older_hub_has_made_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.sqlite")).unwrap();
    db.write_blocking(|tx| -> rusqlite::Result<()> {
        save(tx, &LESSON, &catalog::lesson_edits(&lesson(), 1, None, &[track("slides", 1)]));
        save(tx, &LESSON, &outline().edits());
        // What a hub that knew neither has left.
        tx.execute("delete from lesson_outlines", [])?;
        tx.execute("update lesson_tracks set class = 3", [])?;
        Ok(())
    })
    .unwrap();
    let seen = || {
        db.read_blocking(|db| -> rusqlite::Result<(i64, Outline)> {
            let sql = "select class from lesson_tracks";
            Ok((db.query_row(sql, [], |row| row.get(0))?, outline::find(db, &LESSON)?))
        })
        .unwrap()
    };
    renew(&db).unwrap();
    assert_eq!(seen(), (1, outline()));
    let spoil = "update lesson_tracks set class = 9";
    db.write_blocking(|tx| tx.execute(spoil, [])).map(drop).unwrap();
    renew(&db).unwrap();
    assert_eq!(seen().0, 9, "once is enough");
}

#[test]
fn garbage_of_another_hub_gets_defaults_or_leaves_no_row() {
    let db = database();
    let put = |key: &str, value| DocEdit::Put { path: vec![key.to_owned()], value };
    let long = DocValue::Str("长".repeat(1_000));
    let mut edits = catalog::lesson_edits(&lesson(), 1, None, &[track("audio", 1)]);
    edits.extend([
        put("title", long),
        put("subject", DocValue::Str("magic".into())),
        put("grade", DocValue::Int(7)),
        put("duration_ms", DocValue::Int(i64::MIN)),
        put("created_at", DocValue::Int(i64::MAX)),
        put("poster", DocValue::Bytes(vec![0; 17 << 10])),
        DocEdit::Put { path: vec!["tracks".into(), "../x".into()], value: DocValue::Null },
        DocEdit::Put {
            path: vec!["tracks".into(), "video-360".into()],
            value: DocValue::Map(BTreeMap::from([("blob".into(), DocValue::Int(1))])),
        },
    ]);
    db.execute("update night_state set seen_at_ms = ?1", [i64::MAX]).unwrap();
    assert_eq!(save(&db, &LESSON, &edits), Projected::Lesson(LESSON));
    let sql = "select length(title), subject, grade, duration_ms, created_at_ms, has_poster, \
         (select count(*) from lesson_tracks) from lessons";
    let row: (i64, String, String, i64, i64, bool, i64) = db
        .query_row(sql, [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?))
        })
        .unwrap();
    assert_eq!(row, (120, "other".into(), String::new(), 0, 4_102_444_800_000, false, 1));

    let other = [put("kind", DocValue::Str("lessons".into()))];
    assert_eq!(save(&db, &DocId([3; 16]), &other), Projected::Nothing);
    let stolen = catalog::comment_edits(&LESSON, &comment(1, "x"));
    assert_eq!(save(&db, &DocId([4; 16]), &stolen), Projected::Nothing);
    let unreadable = project(&db, &collection(), &LESSON, b"garbage").unwrap();
    assert_eq!(unreadable, Projected::Nothing);
    let thread = [
        put("c:zz", DocValue::Map(BTreeMap::new())),
        put("c:01010101010101010101010101010101", DocValue::Map(BTreeMap::new())),
    ];
    let mut edits = catalog::comment_edits(&LESSON, &comment(5, &"啊".repeat(3_000)));
    edits.extend(thread);
    save(&db, &thread_of(&LESSON), &edits);
    let sql = "select length(text) from comments";
    assert_eq!(db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2_000);
}
