//! Cursor of a list of reminders: the encoded id of the last reminder of a page. Reminders that are
//! created or deleted meanwhile do not move it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use service::http::ApiError;
use uuid::Uuid;

/// Cursor after a reminder.
pub(super) fn after(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Decodes a cursor to the id of its reminder.
///
/// # Errors
/// If the text is not a cursor of this list.
pub(super) fn read(text: &str) -> Result<Uuid, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(|| ApiError::invalid("cursor: must be a nextCursor of this list"))
}
