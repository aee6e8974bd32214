//! A place in a user's list: the last reminder that was given. What is made or deleted meanwhile
//! does not move it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::http::ApiError;
use uuid::Uuid;

/// Writes the place after a reminder.
pub(super) fn after(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The reminder that a place is after.
///
/// # Errors
/// When the text is no cursor of ours.
pub(super) fn read(text: &str) -> Result<Uuid, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(|| ApiError::invalid("cursor: must be a nextCursor as it was answered"))
}
