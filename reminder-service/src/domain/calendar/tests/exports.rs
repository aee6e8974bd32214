//! Files in the form in which calendar products export them, and what each becomes. The expected
//! results lie beside the files; with `UPDATE_CALENDARS=1` they are written anew.

use std::{fmt::Write, fs, ops::Range, path::PathBuf};

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/calendars/exports")
}

/// Result of an import as text.
fn described(import: &Import) -> String {
    let mut text = String::new();
    for entry in &import.entries {
        let offsets: Vec<_> = entry.notify_offsets.iter().map(ToString::to_string).collect();
        write!(text, "entry {}: {} {}", entry.line, entry.date.to_rfc3339(), entry.time_zone)
            .expect("a text");
        writeln!(text, ", {} minutes before", offsets.join(", ")).expect("a text");
        let instance = entry.instance.as_ref().map(|instance| format!(" at {instance}"));
        let uid = entry.uid.as_deref().unwrap_or("none");
        writeln!(text, "  uid: {uid}{}", instance.unwrap_or_default()).expect("a text");
        if let Some(recurrence) = &entry.recurrence {
            let json = serde_json::to_string(recurrence).expect("JSON");
            writeln!(text, "  recurrence: {json}").expect("a text");
        }
        let texts = [&entry.title, &Some(entry.message.clone()), &entry.url].map(Clone::clone);
        for (name, value) in ["title", "message", "url"].into_iter().zip(texts) {
            if let Some(value) = value {
                writeln!(text, "  {name}: {value:?}").expect("a text");
            }
        }
        if let Some(channels) = &entry.channels {
            writeln!(text, "  channels: {channels:?}").expect("a text");
        }
    }
    for Refused { line, summary, reason, .. } in &import.refused {
        let summary = summary.as_deref().unwrap_or("none");
        writeln!(text, "refused {line} ({summary}): {reason}").expect("a text");
    }
    for Note { line, text: note, .. } in &import.notes {
        writeln!(text, "note {line}: {note}").expect("a text");
    }
    text
}

/// Lines of the events and tasks of a file.
fn components(text: &str) -> Vec<Range<usize>> {
    let (mut ranges, mut begin) = (Vec::new(), 0);
    for (index, line) in text.lines().enumerate() {
        match line.trim_end() {
            "BEGIN:VEVENT" | "BEGIN:VTODO" => begin = index + 1,
            "END:VEVENT" | "END:VTODO" => ranges.push(begin..index + 2),
            _ => {}
        }
    }
    ranges
}

/// Each event and task becomes an entry, is named in a refusal or a note, or cancels an instance.
fn check_that_nothing_is_lost(name: &str, text: &str, import: &Import) {
    for range in components(text) {
        let lines: Vec<_> = text.lines().skip(range.start).take(range.len() - 2).collect();
        let is_cancelled_instance = lines.contains(&"STATUS:CANCELLED")
            && lines.iter().any(|line| line.starts_with("RECURRENCE-ID"));
        let is_named = import.entries.iter().any(|entry| entry.line == range.start)
            || import.refused.iter().any(|refused| range.contains(&refused.line))
            || import.notes.iter().any(|note| range.contains(&note.line));
        assert!(is_named || is_cancelled_instance, "{name}: lines {range:?}");
    }
}

#[test]
fn reads_exports_of_each_product() {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).expect("a folder").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "ics") {
            names.push(path);
        }
    }
    names.sort();
    assert_eq!(names.len(), 10);
    for path in names {
        let name = path.display().to_string();
        let file = fs::read(&path).expect("a file");
        let import = read(&file, default_zone());
        check_that_nothing_is_lost(&name, &String::from_utf8_lossy(&file), &import);
        assert!(import.entries.iter().all(|entry| entry.details().is_ok()), "{name}");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_CALENDARS").is_some() {
            fs::write(&expected, described(&import)).expect("written");
        }
        let expected = fs::read_to_string(&expected).expect("a file");
        assert_eq!(described(&import), expected, "{name}");
    }
}
