//! Calendar files: read, and the reminders that they become written and read again.

use chrono::{DateTime, Utc};
use recurrence::Zone;
use reminder_service::domain::{
    calendar::{Entry, Exported, Import, MAX_ENTRIES, read, write},
    reminder::{Details, Following, Message, Reminder, Title},
};
use uuid::Uuid;

/// Most refusals, and most notes, of a file: with one that counts the others.
const MOST_REPORTED: usize = 1_001;

/// Fuzz target of calendar files. What is read keeps to the bounds of reminders, and a reminder
/// that is written and read again is the same.
///
/// # Panics
/// If a property does not hold.
pub fn calendar_file(data: &[u8]) {
    let zone = Zone::parse("Europe/Madrid").expect("a zone");
    let import = read(data, zone);
    check_lines(data, &import);
    assert!(import.entries.len() <= MAX_ENTRIES);
    let mut accepted = Vec::new();
    for entry in &import.entries {
        check_entry(entry);
        if let Ok(details) = entry.details() {
            accepted.push(Reminder::new(
                Uuid::from_u128(accepted.len() as u128 + 1),
                Following { details, changed_occurrences: Vec::new() },
            ));
        }
    }
    check_round_trip(&accepted, zone);
    assert_eq!(read(data, zone), import, "another reading of the file");
}

fn check_lines(file: &[u8], import: &Import) {
    let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    let refused = import.refused.iter().map(|refused| (refused.line, &refused.reason));
    let notes = import.notes.iter().map(|note| (note.line, &note.text));
    assert!(refused.len() <= MOST_REPORTED && notes.len() <= MOST_REPORTED);
    for (line, text) in refused.chain(notes) {
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {text}");
        assert!(!text.is_empty() && text.len() <= 2_000, "{text:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert!(import.entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
}

fn check_entry(entry: &Entry) {
    let offsets = &entry.notify_offsets;
    assert!((1..=5).contains(&offsets.len()), "{offsets:?}");
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    assert!(offsets.iter().all(|offset| (0..=40_320).contains(offset)), "{offsets:?}");
    assert!(Zone::parse(&entry.time_zone).is_ok(), "{}", entry.time_zone);
    assert_eq!(
        Message::parse(entry.message.clone()).map(Message::into_string).as_ref(),
        Ok(&entry.message)
    );
    let title = entry.title.clone().map(Title::parse);
    assert!(title.is_none_or(|title| title.is_ok()), "{:?}", entry.title);
}

fn check_round_trip(reminders: &[Reminder], zone: Zone) {
    let file = write(reminders.iter().cloned().map(Exported::from));
    let import = read(file.as_bytes(), zone);
    assert_eq!((&import.refused, &import.notes), (&Vec::new(), &Vec::new()), "{file}");
    assert_eq!(import.entries.len(), reminders.len(), "{file}");
    for (entry, reminder) in import.entries.iter().zip(reminders) {
        let details = entry.details().expect("an exported reminder is accepted");
        assert_eq!(occurrences(&details), occurrences(&reminder.details), "{file}");
        assert_eq!(details, reminder.details, "{file}");
    }
}

fn occurrences(details: &Details) -> Vec<DateTime<Utc>> {
    let beginning = DateTime::<Utc>::MIN_UTC;
    let upcoming = details.schedule.upcoming(beginning, beginning, 20);
    upcoming.into_iter().map(|occurrence| occurrence.at).collect()
}
