//! `GET /notifications/outcomes`.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use contract::{DeliveryState, Reason, ReasonCode};
use rest::{Faults, Identity, LenientParams};
use serde::{Deserialize, Serialize};
use service::http::ApiError;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{AppState, examples, time_format::optional_time};
use crate::{domain::occurrence_outcome::Outcome, store::outcomes};

/// Most occurrences of one request.
const MAX_IDS: usize = 100;

/// Query of `GET /notifications/outcomes`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// Ids of occurrences, 1 to 100, with commas between them.
    #[param(example = "5f0c6c1e0b0a5c3d9d1e2f3a4b5c6d7e")]
    occurrence_ids: String,
}

/// Outcome of an occurrence on all its channels and devices.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OccurrenceOutcome {
    /// Id of the occurrence.
    occurrence_id: String,
    /// `sent` if at least one delivery was accepted; else `pending` or `deferred` while one of them
    /// is, then `failed` if one of them failed, or `suppressed` if all are.
    state: DeliveryState,
    /// Reason code of the state, that of the latest delivery in it. Later versions may add codes.
    #[schema(value_type = Option<Reason>)]
    reason: Option<ReasonCode>,
    /// Time of the final state: of the first accepted delivery, or of the latest other one; `null`
    /// while it is `pending` or `deferred`.
    #[serde(serialize_with = "optional_time")]
    finished_at: Option<DateTime<Utc>>,
}

/// Outcomes of the caller's occurrences.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::outcomes()))]
pub(super) struct Outcomes {
    /// One entry for each occurrence of the caller that is known, in the order of the request.
    outcomes: Vec<OccurrenceOutcome>,
}

/// Read the outcomes of occurrences
///
/// Tells for each occurrence of the caller what its deliveries amount to. Occurrences of others,
/// and those that are not received yet or no longer kept, are left out.
#[utoipa::path(
    get,
    path = "/notifications/outcomes",
    operation_id = "readOutcomes",
    tag = "notifications",
    params(Query),
    responses(
        (status = 200, description = "The known outcomes", body = Outcomes),
    ),
)]
pub(super) async fn read(
    State(state): State<AppState>,
    identity: Identity,
    LenientParams { value: query, faults }: LenientParams<Query>,
) -> Result<Json<Outcomes>, ApiError> {
    let mut faults = Faults::begin(faults);
    let ids = faults.take(read_ids(&query.occurrence_ids));
    let ids = faults.or(ids)?;
    let mut known = outcomes::of_occurrences(&state.pool, &identity.user_id, &ids).await?;
    let outcomes = ids.iter().filter_map(|id| {
        let Outcome { state, reason, finished_at } = known.remove(id)?;
        let occurrence_id = id.simple().to_string();
        Some(OccurrenceOutcome { occurrence_id, state, reason, finished_at })
    });
    Ok(Json(Outcomes { outcomes: outcomes.collect() }))
}

fn read_ids(text: &str) -> Result<Vec<Uuid>, ApiError> {
    let refused =
        || ApiError::invalid(format!("occurrenceIds: must be 1 to {MAX_IDS} ids of occurrences"));
    let ids: Vec<Uuid> = text
        .split(',')
        .take(MAX_IDS + 1)
        .map(|id| Uuid::try_parse(id).map_err(|_| refused()))
        .collect::<Result<_, _>>()?;
    if ids.len() > MAX_IDS { Err(refused()) } else { Ok(ids) }
}
