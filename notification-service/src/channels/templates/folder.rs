//! A mounted folder of templates and words. Its files have the names of ours; a folder in it is a
//! language, whose files come before those that stand beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use icu_locale_core::LanguageIdentifier;

use super::{Fault, Part};
use crate::channels::translations::{self, LANGUAGES, Wordlist, Words};

/// The name of a file of words.
const WORDS: &str = "words.json";
/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// By path: `email.html`, `de/email.html`.
    pub(super) templates: BTreeMap<String, String>,
    /// By tag.
    wordlists: BTreeMap<String, Wordlist>,
    tags: BTreeSet<String>,
}

impl Folder {
    /// Reads a folder, and says what of it could not be read.
    pub(super) fn read(path: &Path) -> (Self, Vec<Fault>) {
        let mut reading = Reading::default();
        reading.root(path);
        (reading.folder, reading.faults)
    }

    /// The languages it speaks of, and ours.
    pub(super) fn tags(&self) -> BTreeSet<String> {
        self.tags.iter().cloned().chain(LANGUAGES.map(|(tag, _)| tag.to_owned())).collect()
    }

    /// The words of a language: for each its own before that of a language it falls back on, and
    /// the folder's before ours.
    pub(super) fn words(&self, tag: &str) -> Result<Words, Fault> {
        let file = format!("{tag}/{WORDS}");
        let mut words = Wordlist::default();
        for tag in translations::lookup(tag) {
            words = words.over(self.wordlists.get(tag).cloned().unwrap_or_default());
            if let Some((_, json)) = LANGUAGES.iter().find(|(ours, _)| *ours == tag) {
                let ours = Wordlist::parse(json).map_err(|error| broken(&file, &error))?;
                words = words.over(ours);
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

    /// The path of the template that is used for a language; none: ours.
    pub(super) fn best(&self, part: Part, tag: &str) -> Option<String> {
        let general = part.file_name();
        let mut paths = translations::lookup(tag)
            .map(|tag| format!("{tag}/{general}"))
            .chain([general.to_owned()]);
        paths.find(|path| self.templates.contains_key(path))
    }
}

#[derive(Default)]
struct Reading {
    folder: Folder,
    faults: Vec<Fault>,
}

impl Reading {
    fn root(&mut self, path: &Path) {
        for (name, is_folder) in self.entries(path, ".") {
            let entry = path.join(&name);
            if !is_folder {
                self.template(&entry, &name, &name);
            } else if name.parse::<LanguageIdentifier>().is_ok_and(|tag| tag.to_string() == name) {
                self.language(&entry, &name);
            } else {
                self.fault(&name, "is no language tag as BCP 47 writes it, such as de or pt-BR");
            }
        }
    }

    fn language(&mut self, path: &Path, tag: &str) {
        self.folder.tags.insert(tag.to_owned());
        for (name, is_folder) in self.entries(path, tag) {
            let (entry, file) = (path.join(&name), format!("{tag}/{name}"));
            match (is_folder, name.as_str()) {
                (true, _) => self.fault(&file, "is a folder within a language"),
                (false, WORDS) => self.words(&entry, &file, tag),
                (false, _) => self.template(&entry, &file, &name),
            }
        }
    }

    fn template(&mut self, path: &Path, file: &str, name: &str) {
        if !Part::ALL.iter().any(|part| part.file_name() == name) {
            let names = Part::ALL.map(Part::file_name).join(", ");
            let words = if file == name { "" } else { ", words.json" };
            return self.fault(file, format!("is no file of ours: there are {names}{words}"));
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
        let read = fs::metadata(path)
            .and_then(|it| if it.len() > LARGEST { Ok(None) } else { fs::read(path).map(Some) });
        match read.map(|bytes| bytes.map(String::from_utf8)) {
            Ok(Some(Ok(text))) => return Some(text),
            Ok(Some(Err(_))) => self.fault(file, "is not UTF-8"),
            Ok(None) => self.fault(file, format!("is larger than {LARGEST} bytes")),
            Err(error) => self.unreadable(file, &error),
        }
        None
    }

    /// What a folder holds, and whether it is a folder. What begins with a dot is not ours: mounted
    /// ConfigMaps keep their versions so.
    fn entries(&mut self, path: &Path, file: &str) -> Vec<(String, bool)> {
        let read = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = read.unwrap_or_else(|error| {
            self.unreadable(file, &error);
            Vec::new()
        });
        let named = entries
            .iter()
            .map(|it| (it.file_name().to_string_lossy().into_owned(), it.path().is_dir()));
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
