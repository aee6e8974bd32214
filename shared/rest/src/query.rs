//! Parsing of query strings, with the faults of all parameters.

use axum::{extract::Query, http::Uri};
use serde::de::DeserializeOwned;
use service::http::{ApiError, FieldFault, Reason};
use url::form_urlencoded;

use super::json::{self, Lenient, MAX_FAULTS};

const REJECTION: &str = "Failed to deserialize query string: ";

/// Parses a query string without its faulty parameters.
///
/// # Errors
/// `INVALID_REQUEST` with all faults if it cannot be parsed without them either.
pub(super) fn lenient<T: DeserializeOwned>(query: &str) -> Result<Lenient<T>, ApiError> {
    let mut pairs: Vec<&str> = query.split('&').collect();
    let mut faults = without_nul(&mut pairs);
    for _ in faults.len()..MAX_FAULTS {
        let fault = match parse(&pairs.join("&")) {
            Ok(value) => return Ok(Lenient { value, faults }),
            Err(problem) => json::of_query(&problem),
        };
        let all = pairs.len();
        pairs.retain(|pair| json::shown(&name(pair)) != fault.field);
        // A parameter that was removed because of one fault is not missing as well.
        if faults.iter().all(|known: &FieldFault| known.field != fault.field) {
            faults.push(fault);
        }
        if pairs.len() == all {
            break;
        }
    }
    Err(ApiError::faults(Reason::InvalidRequest, faults))
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let uri: Uri = format!("/?{query}").parse().map_err(|_| "malformed".to_owned())?;
    match Query::try_from_uri(&uri) {
        Ok(Query(value)) => Ok(value),
        Err(rejection) => {
            let text = rejection.body_text();
            Err(text.strip_prefix(REJECTION).unwrap_or(&text).to_owned())
        }
    }
}

/// Removes the parameters whose value has the character U+0000, which PostgreSQL does not store;
/// returns their faults.
fn without_nul(pairs: &mut Vec<&str>) -> Vec<FieldFault> {
    let mut faults: Vec<FieldFault> = Vec::new();
    pairs.retain(|pair| {
        let (name, value) = decoded(pair);
        let has_nul = value.contains('\0');
        let name = json::shown(&name);
        if has_nul && faults.len() < MAX_FAULTS && faults.iter().all(|known| known.field != name) {
            faults.push(FieldFault::new(name, "must not have the character U+0000"));
        }
        !has_nul
    });
    faults
}

/// The decoded name of a parameter.
fn name(pair: &str) -> String {
    decoded(pair).0
}

/// The decoded name and value of a parameter.
fn decoded(pair: &str) -> (String, String) {
    let parsed = form_urlencoded::parse(pair.as_bytes()).next();
    parsed.map(|(name, value)| (name.into_owned(), value.into_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Search {
        limit: Option<u8>,
        is_new: Option<bool>,
        text: Option<String>,
    }

    #[test]
    fn names_every_faulty_parameter() {
        let query = "limit=ten&text=a%26b&is_new=yes&col%6Fur=red&colour=blue&text2=";
        let Lenient { value, faults } = lenient::<Search>(query).expect("parsed");
        assert_eq!(value, Search { text: Some("a&b".to_owned()), ..Search::default() });
        let mut faults: Vec<_> =
            faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
        faults.sort();
        let expected = [
            "colour: unknown field",
            "is_new: must be true or false",
            "limit: must be a whole number",
            "text2: unknown field",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn names_parameter_that_cannot_be_stored() {
        let Lenient { value, faults } =
            lenient::<Search>("limit=7&text=a%00b&text=%00").expect("parsed");
        assert_eq!(value, Search { limit: Some(7), ..Search::default() });
        assert_eq!(faults, [FieldFault::new("text", "must not have the character U+0000")]);
    }

    #[test]
    fn names_parameter_that_is_given_twice() {
        let faults = lenient::<Search>("limit=1&limit=2").expect("parsed").faults;
        assert_eq!(faults.len(), 1);
        assert_eq!(
            (faults[0].field.as_str(), faults[0].message.as_str()),
            ("limit", "is given twice")
        );
    }

    #[derive(Debug, Deserialize)]
    struct Page {
        #[expect(dead_code, reason = "only its faults matter")]
        limit: u8,
    }

    #[test]
    fn names_faulty_required_parameter_once() {
        for (query, problem) in [("limit=x", "must be a whole number"), ("", "is required")] {
            let faults = lenient::<Page>(query).expect_err("faults").details;
            assert_eq!(faults, [FieldFault::new("limit", problem)], "{query}");
        }
    }

    #[test]
    fn accepts_queries_without_faults() {
        for query in ["", "&", "limit=7&"] {
            assert_eq!(lenient::<Search>(query).expect("parsed").faults, [], "{query}");
        }
    }

    #[test]
    fn stops_at_bounded_number_of_faults() {
        let query: Vec<_> = (0..1_000).map(|number| format!("p{number}=1")).collect();
        let error = lenient::<Search>(&query.join("&")).expect_err("faults");
        assert_eq!(error.details.len(), MAX_FAULTS);
    }
}
