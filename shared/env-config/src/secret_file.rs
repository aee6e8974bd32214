//! Bounded reading of files that contain variables (`X_FILE`).

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Largest file that is read: a service account or a chain of certificates has a few KiB, and a
/// Kubernetes Secret at most 1 MiB.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reason that a file cannot be used as a variable. Never quotes its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileProblem {
    /// The file cannot be opened or read.
    Unreadable(io::ErrorKind),
    /// A directory, a pipe or a device, which might never end.
    NotAFile,
    /// The file contains only blanks.
    Empty,
    /// The file contains more than [`MAX_BYTES`].
    TooLarge,
    /// The file is not UTF-8 text.
    NotText,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => write!(f, "cannot be read: {kind}"),
            Self::NotAFile => f.write_str("is not a regular file"),
            Self::Empty => f.write_str("is empty"),
            Self::TooLarge => write!(f, "is larger than {MAX_BYTES} bytes"),
            Self::NotText => f.write_str("is not UTF-8 text"),
        }
    }
}

/// Reads a file's text without the blanks around it.
///
/// # Errors
/// A [`FileProblem`] if the file is missing, unreadable, empty, too large, or not a regular file.
pub fn read(path: &Path) -> Result<String, FileProblem> {
    let unreadable = |error: io::Error| FileProblem::Unreadable(error.kind());
    // Checked before the file is opened, as opening a pipe waits for a writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileProblem::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileProblem::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| FileProblem::NotText)?;
    let text = text.trim();
    if text.is_empty() { Err(FileProblem::Empty) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_files_that_are_not_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("written");
            read(&path)
        };
        assert_eq!(write("good", b" s3cret\n"), Ok("s3cret".to_owned()));
        assert_eq!(write("empty", b""), Err(FileProblem::Empty));
        assert_eq!(write("blank", b" \n\t"), Err(FileProblem::Empty));
        assert_eq!(write("binary", &[0xff, 0xfe, 0x00]), Err(FileProblem::NotText));
        assert_eq!(write("large", &vec![b'x'; MAX_BYTES as usize + 1]), Err(FileProblem::TooLarge));
        assert_eq!(read(folder.path()), Err(FileProblem::NotAFile));
        assert_eq!(
            read(&folder.path().join("absent")),
            Err(FileProblem::Unreadable(io::ErrorKind::NotFound))
        );
        assert_eq!(read(Path::new("/dev/zero")), Err(FileProblem::NotAFile));
    }
}
