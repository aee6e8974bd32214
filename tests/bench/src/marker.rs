//! Marker in the text of a reminder of the bench, which tells the provider its number and due time.

/// Beginning of every marker.
const BEGIN: &[u8] = b"bench-";

/// Text of reminder `number`, due at `due_ms` (milliseconds since 1970).
pub(crate) fn text(number: u32, due_ms: u64) -> String {
    format!("bench-{number}-{due_ms}- Water the plants on the balcony")
}

/// Finds the number and the due time of a marker in the bytes of a request.
pub(crate) fn find(bytes: &[u8]) -> Option<(u32, u64)> {
    let mut rest = bytes;
    loop {
        rest = after(rest, BEGIN)?;
        if let Some(found) = parse(rest) {
            return Some(found);
        }
    }
}

fn parse(mut rest: &[u8]) -> Option<(u32, u64)> {
    let number = digits(&mut rest)?;
    let due_ms = digits(&mut rest)?;
    Some((u32::try_from(number).ok()?, due_ms))
}

/// Finds the collapse key in the bytes of an FCM request, if it has 32 hexadecimal characters.
pub(crate) fn collapse_key(bytes: &[u8]) -> Option<u128> {
    let names: [&[u8]; 3] = [b"\"collapse_key\":\"", b"\"apns-collapse-id\":\"", b"\"Topic\":\""];
    let value = names.iter().find_map(|name| after(bytes, name))?;
    let text = str::from_utf8(value.get(..32)?).ok()?;
    u128::from_str_radix(text, 16).ok()
}

/// The bytes after the first `mark`.
fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let first = *mark.first()?;
    let mut rest = bytes;
    loop {
        let at = rest.iter().position(|byte| *byte == first)?;
        rest = rest.get(at..)?;
        if let Some(found) = rest.strip_prefix(mark) {
            return Some(found);
        }
        rest = rest.get(1..)?;
    }
}

/// Consumes digits and the dash after them.
fn digits(rest: &mut &[u8]) -> Option<u64> {
    let end = rest.iter().position(|byte| *byte == b'-')?;
    let number = str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    *rest = rest.get(end + 1..)?;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_marker_in_payload() {
        let payload = format!(
            r#"{{"message":{{"token":"bn","notification":{{"body":"{}"}}}}}}"#,
            text(17, 1_767_225_600_123)
        );
        assert_eq!(find(payload.as_bytes()), Some((17, 1_767_225_600_123)));
        let after_another = format!("a bench-mark, {}", text(18, 5));
        assert_eq!(find(after_another.as_bytes()), Some((18, 5)));
    }

    #[test]
    fn ignores_other_text() {
        assert_eq!(find(b"a bench- in the park"), None);
        assert_eq!(find(b""), None);
        assert_eq!(find(b"bench-1-"), None);
    }

    #[test]
    fn finds_collapse_key_of_each_platform() {
        let id = "0123456789abcdef0123456789abcdef";
        for name in ["collapse_key", "apns-collapse-id", "Topic"] {
            let payload = format!(r#"{{"x":1,"{name}":"{id}","y":2}}"#);
            assert_eq!(
                collapse_key(payload.as_bytes()),
                Some(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
            );
        }
        assert_eq!(collapse_key(br#"{"collapse_key":"short"}"#), None);
    }
}
