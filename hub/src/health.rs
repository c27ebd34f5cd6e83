//! `/healthz` for supervisors and `/metrics` for Prometheus.

use std::sync::OnceLock;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, now_ms};
use crate::jobs::JobState;
use crate::snapshots;

const REQUESTS: &str = "yingxue_http_requests_total";
const SECONDS: &str = "yingxue_http_request_seconds";
/// From a cached answer on a fast machine to the slowest that a person waits for.
const SECONDS_BUCKETS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();

/// That the hub is there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: &'static str,
    /// Of this program.
    pub version: &'static str,
    /// Seconds since the last verified copy of the database was taken; none if there is none.
    pub snapshot_age_s: Option<i64>,
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(numbers))
}

/// Makes this process count; later calls change nothing.
pub fn install() {
    PROMETHEUS.get_or_init(|| {
        let matcher = Matcher::Full(SECONDS.to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(matcher, SECONDS_BUCKETS);
        let recorder = builder.expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        // It fails if another recorder counts already; then ours shows the gauges alone.
        drop(metrics::set_global_recorder(recorder));
        handle
    });
}

/// Folds what was counted into buckets, so that memory stays bounded. Called each few seconds.
pub fn fold() {
    if let Some(handle) = PROMETHEUS.get() {
        handle.run_upkeep();
    }
}

/// Counts one request.
pub fn measure(route: Option<&str>, method: &Method, status: StatusCode, begun: Instant) {
    let route = route.unwrap_or("page").to_owned();
    let class = match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    let method = match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let seconds = begun.elapsed().as_secs_f64();
    metrics::histogram!(SECONDS, "route" => route.clone()).record(seconds);
    metrics::counter!(REQUESTS, "route" => route, "method" => method, "status" => class)
        .increment(1);
}

/// Says that the hub is there.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
async fn healthz(State(app): State<App>) -> Json<Health> {
    let snapshot_age_s = snapshot_age_s(&app).await;
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), snapshot_age_s })
}

async fn snapshot_age_s(app: &App) -> Option<i64> {
    let data_dir = app.data_dir.clone();
    let newest = move || snapshots::list(&data_dir, now_ms()).into_iter().next();
    let newest = tokio::task::spawn_blocking(newest).await.ok()??;
    Some((now_ms() - newest.note.taken_at_ms) / 1_000)
}

/// Gives what was counted, in Prometheus' text format. No names, no addresses.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
async fn numbers(State(app): State<App>) -> impl IntoResponse {
    install();
    set_gauges(&app).await;
    let text = PROMETHEUS.get().map(PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn set_gauges(app: &App) {
    let jobs = app.jobs.open();
    for (state, word) in
        [(JobState::Queued, "queued"), (JobState::Running, "running"), (JobState::Failed, "failed")]
    {
        let count = jobs.iter().filter(|job| job.state == state).count();
        metrics::gauge!("yingxue_jobs", "state" => word).set(count as f64);
    }
    let contacts = app.sync.contacts().await.contacts;
    metrics::gauge!("yingxue_contacts").set(contacts.len() as f64);
    let waiting: u64 = contacts.iter().map(|contact| contact.waiting_envelopes).sum();
    metrics::gauge!("yingxue_envelopes_waiting").set(waiting as f64);
    let members = app.sync.membership().map_or(0, |membership| membership.hubs.len());
    metrics::gauge!("yingxue_alliance_hubs").set(members as f64);
    metrics::gauge!("yingxue_database_bytes").set(app.db.size_bytes() as f64);
    if let Some(age_s) = snapshot_age_s(app).await {
        metrics::gauge!("yingxue_snapshot_age_seconds").set(age_s as f64);
    }
    metrics::gauge!("yingxue_sessions").set(app.sessions.count() as f64);
    if let Ok(disk) = rustix::fs::statvfs(&app.data_dir) {
        metrics::gauge!("yingxue_disk_free_bytes").set((disk.f_bavail * disk.f_frsize) as f64);
        metrics::gauge!("yingxue_disk_bytes").set((disk.f_blocks * disk.f_frsize) as f64);
    }
}
