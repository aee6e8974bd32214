//! The header `If-Match` (RFC 9110 §13.1.1): a change applies only to one of the named versions.

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap,
        header::{HeaderValue, IF_MATCH},
        request::Parts,
    },
};
use service::http::ApiError;

/// Most entity tags in the header.
const MAX_TAGS: usize = 20;
const PROBLEM: &str = "If-Match: must be * or a list of at most 20 entity tags, such as \"5\", \
                       the version in quotes";

/// The header `If-Match` of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfMatch(Option<Vec<i64>>);

impl IfMatch {
    /// Versions that the change may apply to; `None` if it may apply to any: the header is missing
    /// or is `*`. An entity tag that is weak, or is not a version, matches none.
    #[must_use]
    pub fn versions(self) -> Option<Vec<i64>> {
        self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if_match(&parts.headers).ok_or_else(|| ApiError::invalid(PROBLEM))
    }
}

/// Entity tag of a version, for the header `ETag`.
#[must_use]
pub fn entity_tag(version: i64) -> HeaderValue {
    let tag = HeaderValue::from_str(&format!("\"{version}\""));
    tag.unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Reads the header; `None` if it is malformed.
fn if_match(headers: &HeaderMap) -> Option<IfMatch> {
    let lines: Vec<&HeaderValue> = headers.get_all(IF_MATCH).iter().collect();
    match lines.as_slice() {
        [] => return Some(IfMatch(None)),
        [line] if line.as_bytes().trim_ascii() == b"*" => return Some(IfMatch(None)),
        _ => {}
    }
    let (mut versions, mut tags) = (Vec::new(), 0);
    for line in lines {
        let mut rest = skip_separators(line.to_str().ok()?);
        while !rest.is_empty() {
            let (strong, after) = match rest.strip_prefix("W/") {
                Some(after) => (false, after),
                None => (true, rest),
            };
            let (tag, after) = after.strip_prefix('"')?.split_once('"')?;
            tags += 1;
            versions.extend(version(tag).filter(|_| strong));
            rest = skip_separators(after);
            if rest.len() == after.len() && !rest.is_empty() {
                return None;
            }
        }
    }
    (1..=MAX_TAGS).contains(&tags).then_some(IfMatch(Some(versions)))
}

/// Removes commas and blanks, of which a list may have several (RFC 9110 §5.6.1).
fn skip_separators(text: &str) -> &str {
    text.trim_start_matches([',', ' ', '\t'])
}

/// Version of an entity tag; `None` for any other text, as the tags of versions have one form.
fn version(tag: &str) -> Option<i64> {
    tag.parse().ok().filter(|version: &i64| version.to_string() == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<IfMatch> {
        let lines = lines.iter().map(|line| (IF_MATCH, line.parse().expect("a header")));
        if_match(&lines.collect())
    }

    #[test]
    fn reads_versions() {
        for (lines, versions) in [
            (vec![], None),
            (vec![" * "], None),
            (vec![r#""5""#], Some(vec![5])),
            (vec![r#""5","6" , "7""#], Some(vec![5, 6, 7])),
            (vec![r#","5",,"#, r#""6""#], Some(vec![5, 6])),
            (vec![r#"W/"5""#], Some(vec![])),
            (vec![r#""05", "+5", "a,b", """#], Some(vec![])),
        ] {
            assert_eq!(read(&lines).map(IfMatch::versions), Some(versions), "{lines:?}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        let many = vec![r#""1""#; MAX_TAGS + 1].join(",");
        for line in ["", ",", "5", r#""5"#, r#""5""6""#, r#""5" x"#, r#"*, "5""#, "w/\"5\"", &many]
        {
            assert_eq!(read(&[line]), None, "{line}");
        }
        assert_eq!(read(&["*", "*"]), None);
    }

    #[test]
    fn writes_tag_that_it_reads() {
        let tag = entity_tag(i64::MAX);
        let read = read(&[tag.to_str().expect("ASCII")]);
        assert_eq!(read, Some(IfMatch(Some(vec![i64::MAX]))));
    }
}
