//! The alliance: founding, inviting, joining, who belongs to it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use qrcode::QrCode;
use qrcode::render::svg;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use yingxue_sync_core::event::{MembershipView, Refusal};
use yingxue_sync_core::id::{Hash, HubId};

use crate::accounts::{Admin, Anyone};
use crate::app::{App, now_ms};
use crate::catalog::bounds;
use crate::driver::history;
use crate::problem::{ApiError, Body, Problem};

/// Longest name of an alliance: one line on a panel.
const NAME_CHARS_MAX: usize = 60;
/// Longest time that an invitation lives: a month, for a letter by post.
const VALID_HOURS_MAX: u32 = 720;
/// Longest text that is tried as an invitation; real ones have some 500 characters.
const INVITATION_CHARS_MAX: usize = 8_192;
/// Side of the QR code in pixels; it is drawn as vectors and scales.
const QR_PIXELS: u32 = 240;

/// The key that an alliance trusts, from its paper. Used once, and not kept.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    /// 64 hex characters.
    root_key: String,
}

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show, found))
        .routes(routes!(invite))
        .routes(routes!(join))
        .routes(routes!(revoke))
        .routes(routes!(hand_over))
}

/// The alliance as this hub knows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Alliance {
    /// 64 hex characters.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What this hub is in it.
    pub role: AllianceRole,
    /// Number of the newest membership list.
    pub epoch: u64,
    /// Hub that writes the membership lists.
    pub registrar: String,
    /// The members.
    pub members: Vec<Member>,
    /// Those that were taken out.
    pub revoked: Vec<RevokedHub>,
}

/// What a hub is in its alliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllianceRole {
    /// The lead school's.
    Lead,
    /// Another school's.
    Member,
}

/// One member.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Member {
    /// 64 hex characters.
    pub hub_id: String,
    /// Its school's name.
    pub school: String,
    /// True for the lead school's.
    pub is_lead: bool,
    /// True for this hub.
    pub is_self: bool,
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// True if there is a contact with it.
    pub is_connected: bool,
    /// Unix milliseconds of the last meeting or parting.
    pub last_seen_at: Option<i64>,
}

/// A hub that was taken out.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RevokedHub {
    /// 64 hex characters.
    pub hub_id: String,
}

/// An alliance to be founded.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllianceToFound {
    /// 1 to 60 characters.
    name: String,
}

/// An invitation to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationToMake {
    /// 1 to 720.
    valid_hours: u32,
}

/// An invitation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Invitation {
    /// One line; whoever shows it may join once.
    pub text: String,
    /// The same as a QR code.
    pub qr_svg: String,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// An alliance to be joined.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllianceToJoin {
    /// The line of text of an invitation.
    invitation: String,
}

/// Shows the alliance.
#[utoipa::path(get, path = "/alliance", tag = "alliance", responses(
    (status = 200, body = Alliance), (status = 404, body = Problem),
))]
async fn show(State(app): State<App>, _: Anyone) -> Result<Json<Alliance>, ApiError> {
    view(&app).await.map(Json)
}

/// Founds an alliance with this hub as the lead school's.
#[utoipa::path(post, path = "/alliance", tag = "alliance", request_body = AllianceToFound,
    responses((status = 201, body = Alliance), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
async fn found(
    State(app): State<App>,
    _: Admin,
    Body(asked): Body<AllianceToFound>,
) -> Result<(StatusCode, Json<Alliance>), ApiError> {
    if !bounds::is_line(&asked.name, NAME_CHARS_MAX) {
        let allowed = format!("1 to {NAME_CHARS_MAX} characters");
        return Err(ApiError::invalid_input("name", allowed));
    }
    let name = asked.name.trim().to_owned();
    app.sync.found(name, app.school_name()?).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(view(&app).await?)))
}

/// Makes an invitation.
#[utoipa::path(post, path = "/alliance/invitations", tag = "alliance",
    request_body = InvitationToMake, responses((status = 201, body = Invitation),
        (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn invite(
    State(app): State<App>,
    _: Admin,
    Body(asked): Body<InvitationToMake>,
) -> Result<(StatusCode, Json<Invitation>), ApiError> {
    if !(1..=VALID_HOURS_MAX).contains(&asked.valid_hours) {
        let allowed = format!("1 to {VALID_HOURS_MAX}");
        return Err(ApiError::invalid_input("valid_hours", allowed));
    }
    let expires_at = now_ms() + i64::from(asked.valid_hours) * 3_600_000;
    let text = app.sync.invite(expires_at.unsigned_abs()).await.map_err(refused)?;
    let qr_svg = qr_svg(&text)?;
    Ok((StatusCode::CREATED, Json(Invitation { text, qr_svg, expires_at })))
}

/// Joins an alliance by an invitation.
#[utoipa::path(post, path = "/alliance/join", tag = "alliance", request_body = AllianceToJoin,
    responses((status = 200, body = Alliance), (status = 409, body = Problem),
        (status = 422, body = Problem), (status = 502, body = Problem)))]
async fn join(
    State(app): State<App>,
    _: Admin,
    Body(asked): Body<AllianceToJoin>,
) -> Result<Json<Alliance>, ApiError> {
    let invitation = asked.invitation.trim();
    if invitation.len() > INVITATION_CHARS_MAX {
        return Err(ApiError::invitation_malformed());
    }
    app.sync.join(invitation.to_owned(), app.school_name()?).await.map_err(refused)?;
    view(&app).await.map(Json)
}

/// Takes a hub out of the alliance.
#[utoipa::path(delete, path = "/alliance/members/{hub_id}", tag = "alliance",
    params(("hub_id" = String, Path)), responses((status = 204), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn revoke(
    State(app): State<App>,
    _: Admin,
    Path(hub): Path<String>,
) -> Result<StatusCode, ApiError> {
    let hub: HubId = hub.parse().map_err(|_| ApiError::not_found())?;
    let membership = app.sync.membership().ok_or_else(ApiError::no_alliance)?;
    if !membership.hubs.iter().any(|member| member.hub == hub) {
        return Err(ApiError::not_found());
    }
    if hub == membership.registrar {
        return Err(ApiError::conflict("The lead school's hub stays in its alliance."));
    }
    app.sync.revoke(hub).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes this hub the registrar, by the root key.
#[utoipa::path(post, path = "/alliance/hand-over", tag = "alliance",
    request_body = RootKey, responses((status = 200, body = Alliance),
        (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn hand_over(
    State(app): State<App>,
    _: Admin,
    Body(asked): Body<RootKey>,
) -> Result<Json<Alliance>, ApiError> {
    let root: Hash = asked.root_key.trim().parse().map_err(|_| ApiError::wrong_root_key())?;
    app.sync.take_over(root.0).await.map_err(refused)?;
    view(&app).await.map(Json)
}

/// Says a refusal of the node as the API says it.
pub(crate) fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::AlreadyMember => ApiError::already_member(),
        Refusal::NoAlliance => ApiError::no_alliance(),
        Refusal::NotRegistrar => ApiError::not_registrar(),
        Refusal::InvitationMalformed => ApiError::invitation_malformed(),
        Refusal::InvitationUnknown => ApiError::invitation_unknown(),
        Refusal::InvitationUsed => ApiError::invitation_used(),
        Refusal::InvitationExpired => ApiError::invitation_expired(),
        Refusal::Unreachable(reason) => ApiError::lead_unreachable(&reason),
        Refusal::OutOfBounds { what, allowed } => ApiError::invalid_input(what, allowed),
        Refusal::NotAllowed(reason) => ApiError::new(
            StatusCode::FORBIDDEN,
            "not_allowed",
            format!("The alliance does not allow this: {reason}."),
        )
        .with_params(json!({ "reason": reason })),
        Refusal::InDoubt => ApiError::in_doubt(),
        Refusal::NotRootKey => ApiError::wrong_root_key(),
        Refusal::NoSpace => ApiError::disk_full(None),
        Refusal::Store(reason) => ApiError::internal(reason),
    }
}

async fn view(app: &App) -> Result<Alliance, ApiError> {
    let membership = app.sync.membership().ok_or_else(ApiError::no_alliance)?;
    let contacts = app.sync.contacts().await.contacts;
    let last_seen: BTreeMap<HubId, i64> =
        app.db.read(history::last_seen).await?.into_iter().collect();
    let is_connected = |hub: &HubId| contacts.iter().any(|contact| contact.hub == *hub);
    let own = app.sync.hub_id();
    let members = membership.hubs.iter().map(|member| Member {
        hub_id: member.hub.to_string(),
        school: member.school.clone(),
        is_lead: member.is_lead,
        is_self: member.hub == own,
        addresses: member.addresses.clone(),
        is_connected: is_connected(&member.hub),
        last_seen_at: last_seen.get(&member.hub).copied(),
    });
    Ok(Alliance {
        id: membership.alliance.to_string(),
        name: membership.name.clone(),
        role: role(&membership, &own),
        epoch: membership.epoch,
        registrar: membership.registrar.to_string(),
        members: members.collect(),
        revoked: membership
            .revoked
            .iter()
            .map(|hub| RevokedHub { hub_id: hub.to_string() })
            .collect(),
    })
}

/// Says what a hub is in its alliance.
pub fn role(membership: &MembershipView, hub: &HubId) -> AllianceRole {
    let is_lead = membership.hubs.iter().any(|member| member.hub == *hub && member.is_lead);
    if is_lead { AllianceRole::Lead } else { AllianceRole::Member }
}

fn qr_svg(text: &str) -> Result<String, ApiError> {
    let code = QrCode::new(text).map_err(ApiError::internal)?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(QR_PIXELS, QR_PIXELS).build())
}

#[cfg(test)]
mod tests;
