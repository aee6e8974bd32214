//! The content lines of a file (RFC 5545 §3.1), each with its place in the file as it was sent.

/// A content line, unfolded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The number of its first line in the file; the first is 1.
    pub(super) number: usize,
    /// Its text.
    pub(super) text: String,
    /// Whether bytes that are no UTF-8 were replaced.
    pub(super) damaged: bool,
}

/// The content lines. Folds are undone in the bytes, since a fold may lie inside a character.
pub(super) fn unfold(file: &[u8]) -> Vec<Line> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let break_at = if file.contains(&b'\n') { b'\n' } else { b'\r' };
    let mut lines: Vec<(usize, Vec<u8>)> = Vec::new();
    for (index, physical) in file.split(|byte| *byte == break_at).enumerate() {
        let end = physical.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        match (&physical[..end], lines.last_mut()) {
            ([], _) => {}
            ([b' ' | b'\t', rest @ ..], Some((_, line))) => line.extend_from_slice(rest),
            (line, _) => lines.push((index + 1, line.to_vec())),
        }
    }
    lines.into_iter().map(|(number, bytes)| decoded(number, bytes)).collect()
}

fn decoded(number: usize, bytes: Vec<u8>) -> Line {
    match String::from_utf8(bytes) {
        Ok(text) => Line { number, text, damaged: false },
        Err(error) => Line { number, text: String::from_utf8_lossy(error.as_bytes()).into_owned(), damaged: true },
    }
}
