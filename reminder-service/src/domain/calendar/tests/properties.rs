//! Property tests: the reader accepts any file.

use proptest::prelude::*;

use super::*;

const FILES: [&[u8]; 6] = [
    include_bytes!("../../../../tests/fixtures/calendars/google.ics"),
    include_bytes!("../../../../tests/fixtures/calendars/outlook.ics"),
    include_bytes!("../../../../tests/fixtures/calendars/icloud.ics"),
    include_bytes!("../../../../tests/fixtures/calendars/malformed.ics"),
    include_bytes!("../../../../tests/fixtures/calendars/exports/outlook-desktop.ics"),
    include_bytes!("../../../../tests/fixtures/calendars/exports/evolution.ics"),
];

/// Checks the properties of an import on which the creation of reminders relies.
fn check_import(file: &[u8]) -> Result<(), TestCaseError> {
    let import = read(file, default_zone());
    let lines = file.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for entry in &import.entries {
        prop_assert!((1..=5).contains(&entry.notify_offsets.len()));
        prop_assert!(entry.notify_offsets.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(entry.notify_offsets.iter().all(|offset| (0..=40_320).contains(offset)));
        prop_assert!(entry.time_zone.parse::<Zone>().is_ok());
        prop_assert!(crate::domain::reminder::Message::parse(entry.message.clone()).is_ok());
        let title = entry.title.clone().map(crate::domain::reminder::Title::parse);
        prop_assert!(title.is_none_or(|title| title.is_ok()));
        prop_assert!((1..=lines).contains(&entry.line));
    }
    for (line, text) in (import.refused.iter().map(|refused| (refused.line, &refused.reason)))
        .chain(import.notes.iter().map(|note| (note.line, &note.text)))
    {
        prop_assert!((1..=lines).contains(&line) && !text.is_empty());
    }
    Ok(())
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let splice =
        (any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..4));
    (prop::sample::select(FILES.to_vec()), prop::collection::vec(splice, 1..8)).prop_map(
        |(file, splices)| {
            let mut file = file.to_vec();
            for (at, removed, inserted) in splices {
                let at = at.index(file.len().max(1)).min(file.len());
                let end = (at + removed).min(file.len());
                file.splice(at..end, inserted);
            }
            file
        },
    )
}

fn lines() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "BEGIN:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "BEGIN:VALARM",
        "END:VALARM",
        "END:VCALENDAR",
        "DTSTART",
        "DTEND",
        "TRIGGER",
        "RRULE",
        "RDATE",
        "EXRULE",
        ":FREQ=DAILY;COUNT=3",
        ":FREQ=WEEKLY;BYDAY=MO",
        ";RANGE=THISANDFUTURE",
        "BEGIN:VTIMEZONE",
        "BEGIN:STANDARD",
        "END:STANDARD",
        "END:VTIMEZONE",
        "TZID:A",
        ";TZID=A",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0200",
        "ACTION:EMAIL",
        "REPEAT:2",
        "EXDATE",
        "RECURRENCE-ID",
        "SUMMARY",
        "DURATION",
        "X-REMINDER-DATE",
        "X-REMINDER-DATA",
        ";TZID=",
        ":20260501T080000Z",
        ":-PT5M",
        ":99991231T235959",
        ":00010101",
        "\r\n",
        "\n ",
        ";VALUE=DATE",
        "UID:1",
        "\"",
        "P9999999999999D",
    ]);
    prop::collection::vec(
        prop_oneof![4 => names.prop_map(str::to_owned), 1 => any::<String>()],
        0..60,
    )
    .prop_map(|pieces| pieces.join("\r\n").replace("\r\n:", ":").replace("\r\n;", ";"))
}

proptest! {
    #[test]
    fn reads_any_bytes(file in prop::collection::vec(any::<u8>(), 0..2_000)) {
        check_import(&file)?;
    }

    #[test]
    fn reads_any_lines(text in lines()) {
        check_import(text.as_bytes())?;
    }

    #[test]
    fn reads_damaged_files(file in mutated()) {
        check_import(&file)?;
    }
}

#[test]
fn large_files_are_read_in_bounded_time() {
    let exdates = format!("EXDATE:{}", vec!["20260501T080000Z"; 60_000].join(","));
    let event = event(&["DTSTART:20260501T080000Z", "RRULE:FREQ=DAILY", &exdates]);
    assert_eq!(only(&event).recurrence, every("FREQ=DAILY", &["2026-05-01T08:00:00"]));
    let different: Vec<_> = (0..60_000)
        .map(|n| format!("2026{:02}01T{:02}{:02}{:02}Z", n % 12 + 1, n % 23, n % 59, n % 47))
        .collect();
    let exdates = format!("EXDATE:{}", different.join(","));
    let (_, reason) =
        refusal(&super::event(&["DTSTART:20260501T080000Z", "RRULE:FREQ=DAILY", &exdates]));
    assert_eq!(reason, "it lists more than 1,000 dates (EXDATE)");
    let never = format!("EXDATE:{}", "never,".repeat(100_000));
    let import =
        read_text(&super::event(&["DTSTART:20260501T080000Z", "RRULE:FREQ=DAILY", &never]));
    assert_eq!(import.notes, [note(8, "1", "EXDATE is not a date or time: never")]);
    let unknown: String = (0..20_000)
        .map(|n| format!("EXDATE;TZID={}{n}:20260501T080000\r\n", "A/".repeat(60)))
        .collect();
    let import =
        read_text(&super::event(&["DTSTART:20260501T080000Z", "RRULE:FREQ=DAILY", unknown.trim()]));
    assert_eq!((import.entries.len(), import.notes.len()), (1, 1_001));
    refusal(&super::event(&[&format!("DTSTART;TZID={}:20260501T080000", "/".repeat(900_000))]));
    for line in [
        "SUMMARY;;",
        ";",
        "A:B\n",
        "DTSTART;TZID=",
        "BEGIN:VEVENT\n",
        "\n ",
        "TRIGGER:P",
        "\"",
        "\\n",
    ] {
        let file = format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY;X={}",
            line.repeat(1_000_000 / line.len())
        );
        assert_eq!(read_text(&file).entries, [], "{line}");
    }
}
