use super::*;
use crate::domain::calendar::{Defaults, read};

fn of(events: &[&str]) -> Vec<Identity> {
    let events: String =
        events.iter().map(|lines| format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT\n")).collect();
    let file = format!("BEGIN:VCALENDAR\n{events}END:VCALENDAR\n");
    let import = read(file.as_bytes(), Defaults::default());
    assert_eq!(import.refused, []);
    identities(&import.entries)
}

const FIRST: &str = "UID:1\nDTSTART:20960507T090000Z\nSUMMARY:A";

#[test]
fn knows_entry_by_uid_and_instance() {
    let [first] = of(&[FIRST]).try_into().expect("one");
    let [changed] =
        of(&["UID:1\nSEQUENCE:4\nDTSTART:20960508T090000Z\nSUMMARY:B"]).try_into().expect("one");
    assert_eq!(first.key, changed.key);
    assert_ne!(first.digest, changed.digest);
    let instance = "UID:1\nRECURRENCE-ID:20960507T090000Z\nDTSTART:20960507T090000Z\nSUMMARY:A";
    let others = of(&["UID:2\nDTSTART:20960507T090000Z\nSUMMARY:A", instance]);
    for other in others {
        assert_ne!(first.key, other.key);
    }
}

#[test]
fn knows_entry_without_uid_by_its_fields() {
    let plain = "DTSTART:20960507T090000Z\nSUMMARY:A";
    let twice = of(&[plain, plain]);
    assert_ne!(twice[0].key, twice[1].key, "each has a reminder of its own");
    assert_eq!(of(&[plain])[0].key, twice[0].key);
    assert_ne!(of(&["DTSTART:20960507T090000Z\nSUMMARY:B"])[0].key, twice[0].key);
}

#[test]
fn ignores_times_of_the_export_in_digest() {
    let stamped = format!("{FIRST}\nDTSTAMP:20960101T000000Z\nLAST-MODIFIED:20960101T000000Z");
    assert_eq!(of(&[FIRST])[0].digest, of(&[&stamped])[0].digest);
}

#[test]
fn finds_id_of_exported_reminder() {
    let id = "0199c0de7e2f7c41b1d1e0a5d2c3f4a5";
    let of_uid = |uid: &str| {
        of(&[&format!("UID:{uid}\nDTSTART:20960507T090000Z\nSUMMARY:A")])[0].exported_id
    };
    assert_eq!(of_uid(&format!("{id}@reminders")), Uuid::try_parse(id).ok());
    for other in ["1@reminders", id, "@reminders"] {
        assert_eq!(of_uid(other), None, "{other}");
    }
}
