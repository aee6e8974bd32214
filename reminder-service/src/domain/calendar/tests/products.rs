//! Files with the structure that each product gives them.

use super::*;

const MIXED: &str = "some alarms are by e-mail: each is delivered by e-mail and by push, as all of \
                     a reminder have the same channels";

macro_rules! file {
    ($name:literal) => {
        without_versions(read(
            include_bytes!(concat!("../../../../tests/fixtures/calendars/", $name)),
            default_zone(),
        ))
    };
}

#[test]
fn reads_google_calendar() {
    let bins = "5k2mabcde0000000000000001@google.com";
    let expected = Import {
        entries: vec![
            Entry {
                message: "Yellow bin, then the blue one.<br>Until the corner; not further."
                    .to_owned(),
                recurrence: every(
                    "FREQ=WEEKLY;WKST=MO;UNTIL=20261231T225959Z;BYDAY=MO,TH",
                    &["2026-05-21T19:30:00", "2026-05-25T19:30:00", "2026-05-11T19:30:00"],
                ),
                notify_offsets: vec![30, 1_440],
                channels: Some(vec![Channel::Email, Channel::Push]),
                email_alarm: Some(49),
                ..entry(27, bins, "2026-05-04T17:30:00Z", "Europe/Berlin", "Put out the bins")
            },
            Entry {
                instance: Some("2026-05-11T19:30:00".to_owned()),
                ..entry(
                    57,
                    bins,
                    "2026-05-12T16:00:00Z",
                    "Europe/Berlin",
                    "Put out the bins (a day late)",
                )
            },
            Entry {
                notify_offsets: vec![120],
                ..entry(
                    70,
                    "5k2mabcde0000000000000002@google.com",
                    "2026-06-10T11:30:00Z",
                    "Europe/Berlin",
                    "Dentist",
                )
            },
            Entry {
                recurrence: every("FREQ=YEARLY", &[]),
                notify_offsets: vec![900],
                ..entry(
                    87,
                    "5k2mabcde0000000000000003@google.com",
                    "2026-06-30T22:00:00Z",
                    "Europe/Berlin",
                    "Renew the insurance",
                )
            },
        ],
        refused: vec![refused(
            108,
            "5k2mabcde0000000000000004@google.com",
            "Garden market",
            "it is cancelled",
        )],
        notes: vec![
            note(39, bins, "LOCATION was left out: a reminder has nothing like it"),
            note(49, bins, MIXED),
        ],
    };
    assert_eq!(file!("google.ics"), expected);
}

#[test]
fn reads_apple_calendar() {
    let zone = "America/New_York";
    let expected = Import {
        entries: vec![
            Entry {
                recurrence: every("FREQ=DAILY;INTERVAL=2;COUNT=10", &[]),
                notify_offsets: vec![0, 10],
                url: Some("https://example.com/plants?room=2".to_owned()),
                ..entry(
                    24,
                    "1B6C0A52-0000-4000-8000-000000000001",
                    "2026-03-15T13:00:00Z",
                    zone,
                    "Water the plants 🌱",
                )
            },
            Entry {
                notify_offsets: vec![0, 1_440],
                ..entry(
                    55,
                    "1B6C0A52-0000-4000-8000-000000000002",
                    "2026-04-01T07:00:00Z",
                    "Europe/Madrid",
                    "Meter reading",
                )
            },
            entry(
                75,
                "1B6C0A52-0000-4000-8000-000000000003",
                "2026-04-20T21:00:00Z",
                zone,
                "Pick up the parcel",
            ),
            Entry {
                notify_offsets: vec![30],
                ..entry(
                    87,
                    "1B6C0A52-0000-4000-8000-000000000004",
                    "2026-05-04T00:00:00Z",
                    zone,
                    "Call the plumber",
                )
            },
        ],
        refused: vec![refused(
            103,
            "1B6C0A52-0000-4000-8000-000000000005",
            "Buy stamps",
            "it is completed",
        )],
        notes: vec![note(
            30,
            "1B6C0A52-0000-4000-8000-000000000001",
            "LOCATION was left out: a reminder has nothing like it",
        )],
    };
    assert_eq!(file!("icloud.ics"), expected);
}

#[test]
fn reads_outlook_calendar() {
    let form = "040000008200E00074C5B7101A82E00800000000A0B1C2D3E4F5D601\
                0000000000000000100000001A2B3C4D5E6F";
    let train = "040000008200E00074C5B7101A82E008000000000000000000000000000000000000002";
    let sunday = "040000008200E00074C5B7101A82E008000000000000000000000000000000000000003";
    let elsewhere = "040000008200E00074C5B7101A82E008000000000000000000000000000000000000004";
    let expected = Import {
        entries: vec![
            Entry {
                message: "Bring the signed form.".to_owned(),
                recurrence: every(
                    "FREQ=MONTHLY;COUNT=12;BYDAY=2FR",
                    &["2026-02-13T10:00:00", "2026-03-13T10:00:00"],
                ),
                notify_offsets: vec![15],
                ..entry(21, form, "2026-01-09T09:00:00Z", "Europe/Berlin", "Hand in the form")
            },
            Entry {
                notify_offsets: vec![30],
                ..entry(51, train, "2026-02-20T07:00:00Z", "Europe/Paris", "Early train")
            },
            Entry {
                recurrence: every("FREQ=WEEKLY;UNTIL=20260331;BYDAY=SU", &["2026-03-08"]),
                ..entry(66, sunday, "2026-03-01T08:00:00Z", "Europe/Madrid", "Free Sunday")
            },
        ],
        refused: vec![refused(
            78,
            elsewhere,
            "Somewhere else",
            "DTSTART is in an unknown time zone: Customized Time Zone",
        )],
        notes: vec![],
    };
    assert_eq!(file!("outlook.ics"), expected);
}

#[test]
fn reads_thunderbird_calendar() {
    let (backups, zone) = ("6f0f3b1c-0000-4000-8000-000000000001", "Australia/Sydney");
    let expected = Import {
        entries: vec![
            Entry {
                message: "Swap the disks: one out, one in.".to_owned(),
                recurrence: every(
                    "FREQ=WEEKLY;BYDAY=SA",
                    &["2026-01-17T20:00:00", "2026-01-24T20:00:00"],
                ),
                notify_offsets: vec![15],
                ..entry(22, backups, "2026-01-10T09:00:00Z", zone, "Backups")
            },
            // Half past two is not there on the day on which summer time begins: an hour later.
            entry(
                59,
                "6f0f3b1c-0000-4000-8000-000000000002",
                "2026-03-29T01:30:00Z",
                "Europe/Berlin",
                "Old prefix",
            ),
            Entry {
                notify_offsets: vec![10_080],
                ..entry(
                    66,
                    "6f0f3b1c-0000-4000-8000-000000000003",
                    "2026-10-31T06:00:00Z",
                    zone,
                    "Tax return",
                )
            },
        ],
        refused: vec![],
        notes: vec![note(42, backups, "an alarm after the start was left out")],
    };
    assert_eq!(file!("thunderbird.ics"), expected);
}

#[test]
fn reads_nextcloud_calendar() {
    let notes = refused(
        63,
        "9a7f2f57-0000-4000-8000-000000000003",
        "Notes",
        "VJOURNAL is neither an event nor a task",
    );
    let expected = Import {
        entries: vec![
            Entry {
                message: "Two, with water\nafter breakfast".to_owned(),
                recurrence: every("FREQ=DAILY", &[]),
                notify_offsets: vec![0, 5, 30],
                channels: Some(vec![Channel::Email, Channel::Push]),
                email_alarm: Some(46),
                ..entry(
                    26,
                    "9a7f2f57-0000-4000-8000-000000000001",
                    "2026-03-01T08:00:00Z",
                    "Europe/London",
                    "Tablets",
                )
            },
            entry(
                51,
                "9a7f2f57-0000-4000-8000-000000000002",
                "2026-06-15T07:00:00Z",
                "Europe/Madrid",
                "Water filter",
            ),
        ],
        refused: vec![notes],
        notes: vec![note(46, "9a7f2f57-0000-4000-8000-000000000001", MIXED)],
    };
    assert_eq!(file!("nextcloud.ics"), expected);
}

#[test]
fn reads_evolution_calendar() {
    let expected = Import {
        entries: vec![Entry {
            recurrence: every("FREQ=WEEKLY;COUNT=10;BYDAY=TU", &[]),
            notify_offsets: vec![15, 30, 45],
            ..entry(
                24,
                "20260201T100000Z-1000-1000-1-1@desk",
                "2026-02-10T22:30:00Z",
                "America/Halifax",
                "Choir practice",
            )
        }],
        ..Import::default()
    };
    assert_eq!(file!("evolution.ics"), expected);
}

#[test]
fn reads_korganizer_calendar() {
    let rent = Entry {
        recurrence: every("FREQ=MONTHLY;BYMONTHDAY=1", &[]),
        notify_offsets: vec![90],
        ..entry(
            15,
            "libkcal-1000000001.001",
            "2026-02-01T02:00:00Z",
            "Asia/Kolkata",
            "Pay the rent",
        )
    };
    let walks = Entry {
        recurrence: on(&["2026-03-03T19:00:00", "2026-04-02T19:00:00"]),
        ..entry(
            33,
            "libkcal-1000000002.001",
            "2026-02-03T13:30:00Z",
            "Asia/Kolkata",
            "Full moon walks",
        )
    };
    let expected = Import { entries: vec![rent, walks], ..Import::default() };
    assert_eq!(file!("korganizer.ics"), expected);
}

#[test]
fn reads_valid_parts_of_malformed_file() {
    let import = file!("malformed.ics");
    let small = Entry {
        message: "A line that".to_owned(),
        ..entry(4, "good-1", "2026-05-01T08:00:00Z", "UTC", "In small letters")
    };
    let other = Entry {
        recurrence: every("FREQ=DAILY", &[]),
        ..entry(45, "good-2", "2026-05-04T08:00:00Z", "UTC", "With what does not fit")
    };
    let silent = entry(38, "silent", "2026-05-03T08:00:00Z", "UTC", "Reminder");
    assert_eq!(import.entries, [small, silent, other]);
    let refused: Vec<_> = import
        .refused
        .iter()
        .map(|refused| (refused.line, refused.uid.as_deref(), refused.reason.as_str()))
        .collect();
    let expected = [
        (3, None, "line 3 is not a property: it has no name and value"),
        (9, None, "line 9 is not a property: it has no name and value"),
        (11, Some("no-end"), "it has no END:VEVENT; the file may be cut off"),
        (15, Some("no-start"), "it has no DTSTART"),
        (22, Some("bad-start"), "DTSTART is not a date or time: tomorrow"),
        (24, None, "line 24 ends a component that did not begin"),
        (29, Some("bad-rule"), "its rule (RRULE) cannot be read: FREQ=SOMETIMES"),
        (36, Some("two-rules"), "it has several rules (RRULE) that one rule cannot express"),
        (42, Some("busy"), "VFREEBUSY is neither an event nor a task"),
    ];
    assert_eq!(refused, expected);
    let notes: Vec<_> = import.notes.iter().map(|note| (note.line, note.text.as_str())).collect();
    let expected = [
        (1, "the calendar has no END:VCALENDAR; the file may be cut off"),
        (38, "it has no SUMMARY: its title is Reminder"),
        (49, "the URL was left out: it must be an absolute http or https URL"),
        (51, "EXDATE is not a date or time: never"),
        (52, "an alarm more than 40,320 minutes before the start was left out"),
        (55, "an alarm was left out, its TRIGGER cannot be read: soon"),
        (58, "an alarm without a TRIGGER was left out"),
    ];
    assert_eq!(notes, expected);
}
