//! Body of a change of one occurrence.

use std::collections::BTreeMap;

use rest::Faults;
use serde::Deserialize;
use service::http::{ApiError, FieldFault, Reason};
use utoipa::ToSchema;

use super::reminder_change::{clearable, given, optional};
use crate::{
    domain::reminder::{
        GivenTime, InvalidField, Link, Message, OccurrenceEdit, Pairs, TextChange, Title,
    },
    routes::examples,
};

/// A change of one occurrence with at least one field: either `skip`, or others. Fields that are
/// left out stay unchanged; `null` removes `title`, `url` and `data`.
#[derive(Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(min_properties = 1, example = json!(examples::occurrence_change()))]
pub(in crate::routes) struct OccurrenceChange {
    /// `true`: the occurrence is left out. `false`: it is delivered again if it was left out.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool, required = false)]
    skip: Option<bool>,
    /// Due time to which the occurrence moves: RFC 3339 with an offset, or without one a local time
    /// in the reminder's `timeZone`. At least one delivery must be in the future.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        value_type = String,
        required = false,
        pattern = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?$",
    )]
    date: Option<String>,
    /// Title: one line.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(
        value_type = Option<String>,
        max_length = 200,
        pattern = r"^([^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*)?$",
    )]
    title: Option<Option<String>>,
    /// Message.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        value_type = String,
        required = false,
        min_length = 1,
        max_length = 2000,
        pattern = r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$",
    )]
    message: Option<String>,
    /// Link that a tap opens: an absolute http or https URL without credentials.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(
        value_type = Option<String>,
        max_length = 2048,
        pattern = r"^([hH][tT][tT][pP][sS]?://[^\s\\]+)?$",
    )]
    url: Option<Option<String>>,
    /// Key-value pairs of the client, which replace all present ones.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    data: Option<Option<BTreeMap<String, String>>>,
}

impl OccurrenceChange {
    /// Checks the fields; `faults` are those of fields that could not be parsed. Occurrences after
    /// the split of a series cannot be restored (`and_following`).
    ///
    /// # Errors
    /// If there is no field, or `skip` and others; the faults of all fields.
    pub(in crate::routes) fn edit(
        self,
        faults: Vec<FieldFault>,
        and_following: bool,
    ) -> Result<OccurrenceEdit, ApiError> {
        if faults.is_empty() && self == Self::default() {
            return Err(ApiError::field(
                Reason::InvalidRequest,
                "body",
                "must have at least one field",
            ));
        }
        let mut faults = Faults::begin(faults);
        let skip = self.skip;
        if skip.is_some() && self != (Self { skip, ..Self::default() }) {
            let problem = "cannot be combined with other fields";
            faults.take(Err::<(), _>(InvalidField::new("skip", problem)));
        }
        if skip == Some(false) && and_following {
            let problem = "must be true with scope=following";
            faults.take(Err::<(), _>(InvalidField::new("skip", problem)));
        }
        let date = self.date.as_deref().map(|text| GivenTime::parse("date", text)).transpose();
        let date = faults.take(date);
        let texts = self.texts(&mut faults);
        let edit = date.zip(texts).map(|(date, texts)| match skip {
            Some(true) => OccurrenceEdit::Skip,
            Some(false) => OccurrenceEdit::Restore,
            None => OccurrenceEdit::Change { date, texts },
        });
        faults.or(edit)
    }

    fn texts(self, faults: &mut Faults) -> Option<TextChange> {
        let title = faults.take(optional(self.title, Title::parse));
        let message = faults.take(self.message.map(Message::parse).transpose());
        let url = faults.take(optional(self.url, Link::parse));
        let data = self.data.map(|data| Pairs::parse(data.unwrap_or_default())).transpose();
        let data = faults.take(data);
        Some(TextChange { title: title?, message: message?, url: url?, data: data? })
    }
}
