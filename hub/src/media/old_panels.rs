//! H.264 and AAC for a browser without AV1 or Opus, made of the lesson's own tracks when they
//! are asked for. Few are made at once, and what was made is kept while there is room, because a
//! room of old computers asks for the same segments.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::{Mutex as Turn, Semaphore};
use yingxue_codec::fallback::{Made, Material, Needs, Plan, Workshop};
use yingxue_codec::track::{INIT_BYTES_MAX, TrackInfo, TrackKind};
use yingxue_codec::{Ffmpeg, Limits, playlist};
use yingxue_sync_core::id::{BlobId, DocId};

use super::kept::Kept;
use super::open_tracks::OpenTrack;
use super::{kept_for, open_lesson, playlists, read};
use crate::app::App;
use crate::problem::ApiError;

/// Children at once: half of a small hub's cores, the other half serves.
const CHILDREN_MAX: usize = 2;
/// What is kept: 64 MiB are about 30 minutes.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// The largest segment of a track that is taken: 4 s of ours have below 1 MiB.
const MATERIAL_BYTES_MAX: u64 = 16 << 20;
/// How long a child may give nothing, in milliseconds; a segment takes a second.
const STALL_TIMEOUT_MS: u64 = 20_000;
/// Segments that are waited for at once, before those that nobody waits for are swept.
const TURNS_SWEPT_AT: usize = 256;

/// What is answered where some of the sound is silence for now.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");

/// A segment of a lesson's picture and sound; none: what comes before the segments.
type Key = (Option<BlobId>, Option<BlobId>, Option<usize>);

/// What was made, and what is being made.
pub struct OldPanels {
    kept: Kept<Key>,
    turns: Mutex<HashMap<Key, Weak<Turn<()>>>>,
    children: Arc<Semaphore>,
}

impl Default for OldPanels {
    fn default() -> Self {
        Self {
            kept: Kept::new(KEPT_BYTES_MAX),
            turns: Mutex::default(),
            children: Arc::new(Semaphore::new(CHILDREN_MAX)),
        }
    }
}

impl OldPanels {
    /// Gives the turn of a segment: whoever comes second waits and finds it kept.
    fn turn(&self, key: Key) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().expect("never held over a panic");
        if turns.len() >= TURNS_SWEPT_AT {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

/// The tracks that segments are made of.
#[derive(Clone)]
struct Tracks {
    picture: Option<Arc<OpenTrack>>,
    sound: Option<Arc<OpenTrack>>,
}

/// Tells the thread that makes a segment that nobody waits for it any more.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers with the playlist; what cannot be made of what is here is a gap.
pub(super) async fn playlist(app: &App, lesson: DocId) -> Result<Response, ApiError> {
    let tracks = Tracks::of(app, lesson).await?;
    let plan = tracks.plan();
    let seconds = plan.seconds();
    let of = tracks.version();
    let segments = seconds.iter().enumerate().map(|(n, seconds)| playlist::Segment {
        seconds: *seconds,
        uri: format!("h264/{n}.m4s?of={of}"),
        is_here: tracks.can_make(n),
    });
    let text = playlist::separate(&format!("h264/init.mp4?of={of}"), segments);
    Ok(playlists::answer(text))
}

/// Answers with `init.mp4`, or with a segment such as `7.m4s`.
pub(super) async fn segment(
    app: &App,
    lesson: DocId,
    file: &str,
    of: Option<&str>,
) -> Result<Response, ApiError> {
    let tracks = Tracks::of(app, lesson).await?;
    let segments = tracks.plan().seconds().len();
    let n = match file.strip_suffix(".m4s") {
        Some(n) => Some(n.parse::<usize>().map_err(|_| ApiError::not_found())?),
        None if file == "init.mp4" => None,
        None => return Err(ApiError::not_found()),
    };
    // The init segment is that of any segment.
    let source = n.or_else(|| (0..segments).find(|n| tracks.can_make(*n)));
    let source = source.filter(|n| tracks.can_make(*n)).ok_or_else(ApiError::not_found)?;
    let (bytes, has_all) = made(app, &tracks, n, source).await?;
    let cache = if has_all { kept_for(of, &tracks.version()) } else { NOT_KEPT };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("video/mp4")),
        (header::CACHE_CONTROL, cache),
    ];
    Ok((headers, bytes).into_response())
}

/// Finds what was made before, or makes segment `source`; says whether it is what it will always
/// be. Sound that is not here yet is silence, and that is not kept: it is not how the lesson is.
async fn made(
    app: &App,
    tracks: &Tracks,
    n: Option<usize>,
    source: usize,
) -> Result<(Bytes, bool), ApiError> {
    let panels = &app.serving.old_panels;
    let key = |n| (tracks.picture_blob(), tracks.sound_blob(), n);
    if let Some(bytes) = panels.kept.get(&key(n)) {
        return Ok((bytes, true));
    }
    let turn = panels.turn(key(Some(source)));
    let _turn = turn.lock().await;
    if let Some(bytes) = panels.kept.get(&key(n)) {
        return Ok((bytes, true));
    }
    let needs = tracks.plan().needs(source).ok_or_else(ApiError::not_found)?;
    let material = tracks.material(app, &needs).await?;
    let has_all = material.sound.iter().all(Option::is_some);
    let made = make(app, tracks, source, material).await?;
    let (init, segment) = (Bytes::from(made.init), Bytes::from(made.segment));
    panels.kept.put(key(None), init.clone());
    if n.is_none() {
        return Ok((init, true));
    }
    if has_all {
        panels.kept.put(key(Some(source)), segment.clone());
    }
    Ok((segment, has_all))
}

async fn make(app: &App, tracks: &Tracks, n: usize, material: Material) -> Result<Made, ApiError> {
    let ffmpeg = app.ffmpeg.clone().ok_or_else(no_ffmpeg)?;
    let permit = Arc::clone(&app.serving.old_panels.children).acquire_owned().await;
    let permit = permit.map_err(ApiError::internal)?;
    let is_given_up = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(Arc::clone(&is_given_up));
    let (tracks, folder) = (tracks.clone(), app.data_dir.join("work").join("h264"));
    let making = tokio::task::spawn_blocking(move || {
        // Held until the child has ended, even if nobody waits for it any more.
        let _permit = permit;
        run(&tracks, n, &material, &ffmpeg, &folder, &|| is_given_up.load(Ordering::Relaxed))
    });
    making.await.map_err(ApiError::internal)?
}

fn run(
    tracks: &Tracks,
    n: usize,
    material: &Material,
    ffmpeg: &Ffmpeg,
    folder: &std::path::Path,
    is_given_up: &dyn Fn() -> bool,
) -> Result<Made, ApiError> {
    let limits = Limits { stall_timeout_ms: STALL_TIMEOUT_MS, ..Limits::default() };
    let workshop = Workshop { ffmpeg, limits: &limits, folder };
    tracks.plan().make(n, material, &workshop, is_given_up).map_err(|error| {
        tracing::warn!(%error, segment = n, "a segment for an old panel could not be made");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_made",
            "This part could not be made for an old browser; the hub's log says why.",
        )
    })
}

fn no_ffmpeg() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "ffmpeg_missing",
        "The hub has no ffmpeg, which makes lessons for old browsers; install it.",
    )
}

impl Tracks {
    async fn of(app: &App, lesson: DocId) -> Result<Self, ApiError> {
        let opened = open_lesson(app, lesson).await?;
        let find = |kind| {
            let found = opened.iter().find(|(of_track, _)| *of_track == kind);
            found.map(|(_, track)| Arc::clone(track)).filter(|track| holds_init(track))
        };
        let picture = find(TrackKind::Video360).or_else(|| find(TrackKind::Video480));
        let tracks = Self { picture, sound: find(TrackKind::Audio) };
        let is_empty = tracks.picture.is_none() && tracks.sound.is_none();
        if is_empty { Err(ApiError::not_found()) } else { Ok(tracks) }
    }

    fn plan(&self) -> Plan<'_> {
        Plan { picture: info(self.picture.as_ref()), sound: info(self.sound.as_ref()) }
    }

    /// Names what segments are made of.
    fn version(&self) -> String {
        let name = |blob: Option<BlobId>| blob.map(|blob| blob.to_string()).unwrap_or_default();
        format!("{}-{}", name(self.picture_blob()), name(self.sound_blob()))
    }

    fn picture_blob(&self) -> Option<BlobId> {
        self.picture.as_ref().map(|track| track.blob)
    }

    fn sound_blob(&self) -> Option<BlobId> {
        self.sound.as_ref().map(|track| track.blob)
    }

    /// Says whether a segment's picture is here; of a lesson of sound alone, its sound.
    fn can_make(&self, n: usize) -> bool {
        let Some(needs) = self.plan().needs(n) else { return false };
        match (&self.picture, &self.sound, needs.picture) {
            (Some(picture), _, Some(n)) => segment_of(picture, n).is_some(),
            (None, Some(sound), _) => segment_of(sound, n).is_some(),
            _ => false,
        }
    }

    async fn material(&self, app: &App, needs: &Needs) -> Result<Material, ApiError> {
        let mut material = Material::default();
        if let (Some(track), Some(n)) = (&self.picture, needs.picture) {
            material.picture_init = init(app, track).await?;
            let range = segment_of(track, n).ok_or_else(ApiError::not_found)?;
            material.picture = read(app, track, range, MATERIAL_BYTES_MAX).await?.to_vec();
        }
        if let Some(track) = &self.sound {
            material.sound_init = init(app, track).await?;
            for n in needs.sound.clone() {
                let bytes = match segment_of(track, n) {
                    Some(range) => Some(read(app, track, range, MATERIAL_BYTES_MAX).await?),
                    None => None,
                };
                material.sound.push(bytes.map(|bytes| bytes.to_vec()));
            }
        }
        Ok(material)
    }
}

fn info(track: Option<&Arc<OpenTrack>>) -> Option<&TrackInfo> {
    track.and_then(|track| track.info.as_ref())
}

fn holds_init(track: &OpenTrack) -> bool {
    track.info.as_ref().is_some_and(|info| track.holds(&(0..u64::from(info.init_bytes))))
}

/// Gives the range of a track's segment, if that is here.
fn segment_of(track: &OpenTrack, n: usize) -> Option<std::ops::Range<u64>> {
    let (_, range) = track.info.as_ref()?.ranges().1.nth(n)?;
    track.holds(&range).then_some(range)
}

async fn init(app: &App, track: &Arc<OpenTrack>) -> Result<Vec<u8>, ApiError> {
    let bytes = track.info.as_ref().map_or(0, |info| info.init_bytes);
    Ok(read(app, track, 0..u64::from(bytes), INIT_BYTES_MAX.into()).await?.to_vec())
}
