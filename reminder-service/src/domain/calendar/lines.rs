//! Content lines of a file (RFC 5545 §3.1), each with its line number in the original file.

/// A content line, unfolded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Number of its first line in the file, from 1.
    pub(super) number: usize,
    /// Text without folds.
    pub(super) text: String,
    /// `true` if bytes that are not UTF-8 were replaced.
    pub(super) damaged: bool,
}

/// Iterates over the content lines with one in memory at a time. Folds are removed from the bytes,
/// since a fold may lie inside a character.
pub(super) fn unfold(file: &[u8]) -> impl Iterator<Item = Line> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let break_at = if file.contains(&b'\n') { b'\n' } else { b'\r' };
    let physical = file.split(move |byte| *byte == break_at).map(without_returns).enumerate();
    let mut physical = physical.filter(|(_, line)| !line.is_empty()).peekable();
    std::iter::from_fn(move || {
        let (index, begin) = physical.next()?;
        let mut bytes = begin.to_vec();
        while let Some((_, [_, rest @ ..])) =
            physical.next_if(|(_, line)| line.starts_with(b" ") || line.starts_with(b"\t"))
        {
            bytes.extend_from_slice(rest);
        }
        Some(decoded(index + 1, bytes))
    })
}

fn without_returns(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    line.get(..end).unwrap_or_default()
}

fn decoded(number: usize, bytes: Vec<u8>) -> Line {
    match String::from_utf8(bytes) {
        Ok(text) => Line { number, text, damaged: false },
        Err(error) => Line {
            number,
            text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            damaged: true,
        },
    }
}
