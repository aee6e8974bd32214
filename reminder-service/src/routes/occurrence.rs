//! `PATCH /reminders/{id}/occurrences/{at}`.

use axum::{extract::State, response::Response};
use rest::{Credentials, IfMatch, IfMatchHeader, LenientBody, LenientParams, PathIdAndText};
use serde::{Deserialize, Serialize};
use service::http::{ApiError, ErrorBody};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState, ShowsReminder, answer::ReminderAnswer, body::OccurrenceChange,
    description::OtherVersion, examples, respond_reminder, target,
};
use crate::{
    domain::{caller::Origin, reminder::GivenTime},
    usecases::{Updated, change_following, change_occurrence},
};

/// Path of the calls on one occurrence.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path that `PathIdAndText` reads")]
pub(super) struct OccurrencePath {
    /// Id of the reminder
    id: String,
    /// The occurrence: its `at` as `GET /reminders/{id}/occurrences` lists it, or its `localAt`. It
    /// keeps this name while it is skipped
    #[param(example = "2126-05-06T07:00:00.000Z")]
    at: String,
}

/// Occurrences that a change applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// The occurrence.
    #[default]
    Occurrence,
    /// The occurrence and all after it.
    Following,
}

/// Query of a change of one occurrence.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// `occurrence` (the default), or `following`: the occurrence and all after it become a new
    /// reminder, or end.
    #[param(inline)]
    scope: Option<Scope>,
}

/// A reminder after a change of its occurrences.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(examples::reminder()))]
pub(super) struct ChangedSeries {
    #[serde(flatten)]
    reminder: ReminderAnswer,
    /// New reminder of the occurrence and those after it, with `scope=following`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    created: Option<ReminderAnswer>,
}

impl From<Updated> for ChangedSeries {
    fn from(mut updated: Updated) -> Self {
        let created = updated.created.take().map(|created| (*created).into());
        Self { reminder: updated.into(), created }
    }
}

impl ShowsReminder for ChangedSeries {
    fn version(&self) -> i64 {
        self.reminder.version()
    }

    fn reminders(&mut self) -> impl Iterator<Item = &mut ReminderAnswer> + Send {
        std::iter::once(&mut self.reminder).chain(&mut self.created)
    }
}

/// Change one occurrence of a recurring reminder
///
/// The other occurrences, their snooze and their acknowledgement stay as they are. Deliveries of
/// the occurrence that no provider has received yet are cancelled. A repeated call changes nothing.
///
/// With `scope=following`, the occurrence and all after it end (`skip`), or become a new reminder
/// with the change; `date` moves all of them. Repeated, the reminder has no such occurrence.
#[utoipa::path(
    patch,
    path = "/reminders/{id}/occurrences/{at}",
    operation_id = "patchOccurrence",
    tag = "reminders",
    params(OccurrencePath, Query, IfMatchHeader),
    request_body = OccurrenceChange,
    responses(
        (status = 200, body = ChangedSeries, description = "The reminder after the change"),
        (
            status = 404,
            body = ErrorBody,
            description = "`MISSING_REMINDER`: the caller has no such reminder · `NOT_FOUND`: the \
                           reminder has no occurrence at this time",
        ),
        (
            status = 409,
            body = ErrorBody,
            description = "`CONFLICT`: the occurrence has passed, is skipped, or cannot begin a \
                           series; the reminder has an occurrence at the new date, does not \
                           recur, is paused (`scope=following`), or has too many occurrences with \
                           changes",
        ),
        OtherVersion,
        (
            status = 422,
            body = ErrorBody,
            description = "`INVALID_DUEDATE`: no delivery of the occurrence would be in the \
                           future, or the rule does not yield the new start · \
                           `INVALID_RECURRENCE`: the rule has too many exclusions or dates",
        ),
    ),
)]
pub(super) async fn patch(
    State(state): State<AppState>,
    origin: Origin,
    credentials: Credentials,
    PathIdAndText(id, at): PathIdAndText,
    LenientParams { value: query, faults }: LenientParams<Query>,
    if_match: IfMatch,
    body: LenientBody<OccurrenceChange>,
) -> Result<Response, ApiError> {
    let target = target(id, if_match)?;
    let at = GivenTime::parse("at", at.as_deref().unwrap_or_default())?;
    let scope = query.scope.unwrap_or_default();
    let faults = faults.into_iter().chain(body.faults).collect();
    let edit = body.value.edit(faults, scope == Scope::Following)?;
    let (resources, key) = (&state.resources, body.key.as_ref());
    let of = ChangedSeries::from;
    let answer = match scope {
        Scope::Occurrence => {
            change_occurrence(resources, &origin, key, target, at, edit, of).await?
        }
        Scope::Following => change_following(resources, &origin, key, target, at, edit, of).await?,
    };
    Ok(respond_reminder(&state, &origin, &credentials, answer).await)
}
