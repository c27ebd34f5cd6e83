//! The demo's page: the hubs of the demo, and a link that can really be cut.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::config::{DemoConfig, DemoHub, DemoLogin};
use crate::problem::{ApiError, Body, Problem};

/// The routes of this slice; they answer `not_found` outside the demo.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(set_link))
}

/// The demo as this hub knows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Demo {
    /// The hubs of the demo.
    pub hubs: Vec<DemoHub>,
    /// Logins that work on each of them.
    pub logins: Vec<DemoLogin>,
    /// This hub's link to the others.
    pub link: Link,
}

/// A hub's link to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// False: every connection is closed, none is made or taken.
    pub is_online: bool,
}

/// Shows the demo.
#[utoipa::path(get, path = "/demo", tag = "demo", responses(
    (status = 200, body = Demo), (status = 404, body = Problem),
))]
async fn show(State(app): State<App>) -> Result<Json<Demo>, ApiError> {
    let DemoConfig { hubs, logins } = config(&app)?.clone();
    let link = Link { is_online: app.sync.is_online() };
    Ok(Json(Demo { hubs, logins, link }))
}

/// Cuts this hub's link to the others, or restores it.
#[utoipa::path(put, path = "/demo/link", tag = "demo", request_body = Link, responses(
    (status = 200, body = Link), (status = 404, body = Problem),
))]
async fn set_link(State(app): State<App>, Body(link): Body<Link>) -> Result<Json<Link>, ApiError> {
    config(&app)?;
    app.sync.set_online(link.is_online).await;
    Ok(Json(Link { is_online: app.sync.is_online() }))
}

fn config(app: &App) -> Result<&DemoConfig, ApiError> {
    app.config.demo.as_ref().ok_or_else(ApiError::not_found)
}
