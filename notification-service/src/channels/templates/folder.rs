//! Mounted folder of templates and translations. Its files have the names of the built-in ones. A
//! sub-folder is a language, whose files take precedence over those next to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use icu_locale_core::LanguageIdentifier;

use super::{Fault, Part};
use crate::channels::translations::{self, LANGUAGES, Wordlist, Words};

/// Name of a file of translations.
const WORDS: &str = "words.json";
/// Size of the largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// Contents of a folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Templates by path: `email.html`, `de/email.html`.
    pub(super) templates: BTreeMap<String, String>,
    /// Translations by language tag.
    wordlists: BTreeMap<String, Wordlist>,
    tags: BTreeSet<String>,
}

impl Folder {
    /// Reads a folder. Returns its contents and its faults.
    pub(super) fn read(path: &Path) -> (Self, Vec<Fault>) {
        let mut reading = FolderReader::default();
        reading.root(path);
        (reading.folder, reading.faults)
    }

    /// Returns the tags of the folder's languages and of the built-in ones.
    pub(super) fn tags(&self) -> BTreeSet<String> {
        self.tags.iter().cloned().chain(LANGUAGES.map(|(tag, _)| tag.to_owned())).collect()
    }

    /// Returns the words of a language. Each word of the language takes precedence over its
    /// fallbacks, and each word of the folder over the built-in one.
    pub(super) fn words(&self, tag: &str) -> Result<Words, Fault> {
        let file = format!("{tag}/{WORDS}");
        let mut words = Wordlist::default();
        for tag in translations::lookup(tag) {
            words = words.over(self.wordlists.get(tag).cloned().unwrap_or_default());
            if let Some((_, json)) = LANGUAGES.iter().find(|(language, _)| *language == tag) {
                let built_in = Wordlist::parse(json).map_err(|error| broken(&file, &error))?;
                words = words.over(built_in);
            }
        }
        words.complete().map_err(|missing| {
            let missing: Vec<_> = missing.iter().map(|key| format!("`{key}`")).collect();
            Fault {
                file,
                line: None,
                problem: format!("a new language needs {}", missing.join(", ")),
            }
        })
    }

    /// Returns the path of the template for a language, `None` for the built-in one.
    pub(super) fn best_template(&self, part: Part, tag: &str) -> Option<String> {
        let general = part.file_name();
        let mut paths = translations::lookup(tag)
            .map(|tag| format!("{tag}/{general}"))
            .chain([general.to_owned()]);
        paths.find(|path| self.templates.contains_key(path))
    }
}

#[derive(Default)]
struct FolderReader {
    folder: Folder,
    faults: Vec<Fault>,
}

impl FolderReader {
    fn root(&mut self, path: &Path) {
        for (name, is_folder) in self.entries(path, ".") {
            let entry = path.join(&name);
            if !is_folder {
                self.template(&entry, &name, &name);
            } else if name.parse::<LanguageIdentifier>().is_ok_and(|tag| tag.to_string() == name) {
                self.language(&entry, &name);
            } else {
                self.fault(&name, "is not a BCP 47 language tag, such as de or pt-BR");
            }
        }
    }

    fn language(&mut self, path: &Path, tag: &str) {
        self.folder.tags.insert(tag.to_owned());
        for (name, is_folder) in self.entries(path, tag) {
            let (entry, file) = (path.join(&name), format!("{tag}/{name}"));
            match (is_folder, name.as_str()) {
                (true, _) => self.fault(&file, "is a folder inside a language folder"),
                (false, WORDS) => self.words(&entry, &file, tag),
                (false, _) => self.template(&entry, &file, &name),
            }
        }
    }

    fn template(&mut self, path: &Path, file: &str, name: &str) {
        if !Part::ALL.iter().any(|part| part.file_name() == name) {
            let names = Part::ALL.map(Part::file_name).join(", ");
            let words = if file == name { "" } else { ", words.json" };
            return self.fault(file, format!("is not a known file: expected {names}{words}"));
        }
        if let Some(text) = self.text(path, file) {
            self.folder.templates.insert(file.to_owned(), text);
        }
    }

    fn words(&mut self, path: &Path, file: &str, tag: &str) {
        match self.text(path, file).map(|json| Wordlist::parse(&json)) {
            Some(Ok(words)) => {
                self.folder.wordlists.insert(tag.to_owned(), words);
            }
            Some(Err(error)) => self.faults.push(broken(file, &error)),
            None => {}
        }
    }

    fn text(&mut self, path: &Path, file: &str) -> Option<String> {
        let read = fs::metadata(path).and_then(|file| match file.len() {
            0..=LARGEST => fs::read(path).map(Some),
            _ => Ok(None),
        });
        match read.map(|bytes| bytes.map(String::from_utf8)) {
            Ok(Some(Ok(text))) => return Some(text),
            Ok(Some(Err(_))) => self.fault(file, "is not UTF-8"),
            Ok(None) => self.fault(file, format!("is larger than {LARGEST} bytes")),
            Err(error) => self.unreadable(file, &error),
        }
        None
    }

    /// Lists the entries of a folder, with `true` for sub-folders. Names that begin with a dot are
    /// skipped: mounted ConfigMaps keep their versions in such folders.
    fn entries(&mut self, path: &Path, file: &str) -> Vec<(String, bool)> {
        let read = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = read.unwrap_or_else(|error| {
            self.unreadable(file, &error);
            Vec::new()
        });
        let named = entries
            .iter()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()));
        named.filter(|(name, _)| !name.starts_with('.')).collect()
    }

    fn unreadable(&mut self, file: &str, error: &io::Error) {
        self.fault(file, format!("cannot be read: {}", error.kind()));
    }

    fn fault(&mut self, file: &str, problem: impl Into<String>) {
        self.faults.push(Fault { file: file.to_owned(), line: None, problem: problem.into() });
    }
}

fn broken(file: &str, error: &serde_json::Error) -> Fault {
    let line = (error.line() > 0).then(|| error.line());
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
    Fault { file: file.to_owned(), line, problem }
}
