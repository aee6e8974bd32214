//! Reminders that are exported and imported again are the same.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

pub(super) fn exported() -> Exported {
    Exported {
        id: "0199c0de".to_owned(),
        version: 3,
        created_at: at("2026-04-01T07:00:00Z"),
        updated_at: at("2026-04-02T07:00:00.5Z"),
        date: at("2026-05-01T08:00:00Z"),
        time_zone: "Europe/Berlin".to_owned(),
        is_floating: false,
        recurrence: None,
        notify_offsets: vec![0],
        channels: vec![Channel::Push],
        title: Some("Tablets".to_owned()),
        message: "Two".to_owned(),
        url: None,
        data: BTreeMap::new(),
        expires_after_minutes: 1_440,
        priority: Priority::Normal,
        locale: None,
    }
}

/// The entry that is read for an exported reminder, with line 0.
fn expected(reminder: &Exported) -> Entry {
    let exported = reminder.clone();
    Entry {
        line: 0,
        uid: Some(format!("{}@reminders", exported.id)),
        instance: None,
        version: Version::default(),
        date: exported.date,
        time_zone: exported.time_zone,
        is_floating: exported.is_floating,
        recurrence: exported.recurrence,
        notify_offsets: exported.notify_offsets,
        title: exported.title,
        message: exported.message,
        url: exported.url,
        channels: Some(exported.channels),
        email_alarm: None,
        data: exported.data,
        expires_after_minutes: Some(exported.expires_after_minutes),
        priority: Some(exported.priority),
        locale: exported.locale,
    }
}

fn read_back(reminders: &[Exported]) -> Vec<Entry> {
    let import = read_text(&write(reminders.to_vec()));
    assert_eq!((import.refused, import.notes), (vec![], vec![]));
    import.entries.into_iter().map(|entry| Entry { line: 0, ..entry }).collect()
}

#[test]
fn writes_reminder_as_an_event() {
    let reminder = Exported {
        recurrence: every(
            "FREQ=DAILY",
            &["2026-05-03T10:00:00", "2026-05-04", "2026-05-05T08:00:00Z"],
        ),
        notify_offsets: vec![0, 60],
        url: Some("https://example.com/?a=b;c,d".to_owned()),
        message: "Two, with water;\nnot three".to_owned(),
        ..exported()
    };
    let written = write([reminder]);
    let (_, event) = written.split_once("BEGIN:VEVENT\r\n").expect("an event");
    let expected = "UID:0199c0de@reminders
DTSTAMP:20260402T070000Z
CREATED:20260401T070000Z
LAST-MODIFIED:20260402T070000Z
SEQUENCE:2
DTSTART;TZID=Europe/Berlin:20260501T100000
RRULE:FREQ=DAILY
EXDATE;TZID=Europe/Berlin:20260503T100000
EXDATE;VALUE=DATE:20260504
EXDATE:20260505T080000Z
SUMMARY:Tablets
DESCRIPTION:Two\\, with water\\;\\nnot three
URL:https://example.com/?a=b;c,d
X-REMINDER-DATE:2026-05-01T08:00:00.000Z
X-REMINDER-CHANNELS:push
X-REMINDER-PRIORITY:normal
X-REMINDER-EXPIRES-AFTER-MINUTES:1440
X-REMINDER-GAP:shift
X-REMINDER-FOLD:first
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:Tablets
TRIGGER:PT0S
END:VALARM
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:Tablets
TRIGGER:-PT60M
END:VALARM
END:VEVENT
END:VCALENDAR
";
    assert_eq!(event, expected.replace('\n', "\r\n"));
}

/// In files of other programs it would name the day.
#[test]
fn keeps_exclusion_of_midnight_that_excludes_nothing() {
    let recurrence = every("FREQ=DAILY", &["2026-05-03T00:00:00"]);
    let reminder = Exported { recurrence, ..exported() };
    assert_eq!(read_back(std::slice::from_ref(&reminder)), [expected(&reminder)]);
}

#[test]
fn writes_no_zone_for_utc() {
    let recurrence = every("FREQ=DAILY", &["2026-05-03T08:00:00"]);
    let reminder = Exported { time_zone: "UTC".to_owned(), recurrence, ..exported() };
    let written = write([reminder.clone()]);
    assert!(
        !written.contains("VTIMEZONE") && written.contains("DTSTART:20260501T080000Z"),
        "{written}"
    );
    assert!(written.contains("EXDATE:20260503T080000Z"), "{written}");
    assert_eq!(read_back(std::slice::from_ref(&reminder)), [expected(&reminder)]);
}

#[test]
fn keeps_fold_and_milliseconds_of_a_date() {
    // The second half past two of this night, and a part of a second.
    for date in ["2026-10-25T01:30:00Z", "2026-10-25T00:30:00.123Z"] {
        let reminder = Exported { date: at(date), ..exported() };
        assert_eq!(read_back(std::slice::from_ref(&reminder)), [expected(&reminder)]);
    }
}

#[test]
fn keeps_start_that_was_changed_elsewhere() {
    let written = write([exported()])
        .replace("DTSTART;TZID=Europe/Berlin:20260501T100000", "DTSTART:20260502T070000Z");
    assert_eq!(only(&written).date, at("2026-05-02T07:00:00Z"));
}

#[test]
fn reads_no_title_from_a_derived_summary() {
    let reminder =
        Exported { title: None, message: "  \nTwo\nwith water".to_owned(), ..exported() };
    assert!(write([reminder.clone()]).contains("SUMMARY:Two\r\n"));
    assert_eq!(read_back(std::slice::from_ref(&reminder)), [expected(&reminder)]);
}

#[test]
fn folds_lines_at_75_octets() {
    let message = "Grüße 🌱, ".repeat(180);
    let written = write([Exported { message, ..exported() }]);
    assert!(written.split("\r\n").all(|line| line.len() <= 75 && !line.contains('\n')));
}

#[test]
fn writes_empty_calendar_without_reminders() {
    let written = write([]);
    assert_eq!(read_text(&written), Import::default());
}

fn text(limit: usize) -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        ",",
        ";",
        ":",
        "\\",
        "\n",
        "\\n",
        "\t",
        " ",
        "\"",
        "=",
        "^",
        "🌱",
        "ü",
        "e\u{301}",
        "BEGIN:VEVENT",
        "word ",
        "\u{2028}",
        "\n ",
    ]);
    let written =
        prop::collection::vec(prop_oneof![pieces.prop_map(str::to_owned), "[ -~]{0,20}"], 1..12);
    written
        .prop_map(move |pieces| pieces.concat().chars().take(limit).collect())
        .prop_filter("a text that is not blank", |text: &String| !contract::text::is_blank(text))
}

prop_compose! {
    fn recurrences()(
        rrule in prop::sample::select(vec![
            "FREQ=DAILY",
            "FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20301231",
            "FREQ=MONTHLY;COUNT=7",
        ]),
        days in prop::collection::btree_set(
            (2_000..2_100, 1..=12, 1..=28, prop::option::of(0..24)),
            0..5,
        ),
        of_rule in 0..5_usize,
        gap in prop::sample::select(vec![GapPolicy::Shift, GapPolicy::Skip]),
        fold in prop::sample::select(vec![FoldPolicy::First, FoldPolicy::Second, FoldPolicy::Both]),
    ) -> Recurrence {
        let dates = days.into_iter().map(|(year, month, day, hour)| match hour {
            Some(hour) => format!("{year}-{month:02}-{day:02}T{hour:02}:30:00"),
            None => format!("{year}-{month:02}-{day:02}"),
        });
        let mut exdates: Vec<_> = dates.collect();
        let rdates = exdates.split_off(of_rule.min(exdates.len()));
        Recurrence { rrule: rrule.to_owned(), exdates, rdates, gap, fold }
    }
}

prop_compose! {
    fn reminders()(
        (seconds, millis) in (0_i64..4_000_000_000, 0_i64..1_000),
        zone in prop::sample::select(vec![
            "UTC",
            "Etc/UTC",
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        ]),
        recurrence in prop::option::of(recurrences()),
        offsets in prop::collection::btree_set(0..=40_320, 1..=5),
        title in prop::option::of(text(200).prop_map(|text| text.replace(['\n', '\t'], "-"))),
        message in text(2_000),
        url in prop::option::of("https://example\\.com/[a-z,;?=&%#]{0,90}"),
        data in prop::collection::btree_map("k[a-z]{1,8}", text(60), 0..4),
        (channels, priority) in (
            prop::sample::select(vec![
                vec![Channel::Push],
                vec![Channel::Email],
                vec![Channel::Email, Channel::Push],
            ]),
            prop::sample::select(vec![Priority::Normal, Priority::High]),
        ),
        (expires_after_minutes, locale) in (1..=525_600, prop::option::of("[a-z]{2}-[A-Z]{2}")),
    ) -> Exported {
        Exported {
            date: DateTime::UNIX_EPOCH + TimeDelta::milliseconds(seconds * 1_000 + millis),
            time_zone: zone.to_owned(),
            notify_offsets: offsets.into_iter().collect(),
            recurrence,
            title,
            message,
            url,
            data,
            channels,
            priority,
            expires_after_minutes,
            locale,
            ..exported()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn reads_exported_reminders_unchanged(reminders in prop::collection::vec(reminders(), 1..3)) {
        let expected: Vec<_> = reminders.iter().map(expected).collect();
        prop_assert_eq!(read_back(&reminders), expected);
    }
}

#[test]
fn reads_floating_reminder_in_zone_of_user() {
    let floating = Exported {
        is_floating: true,
        recurrence: every("FREQ=DAILY", &["2026-05-02"]),
        ..exported()
    };
    let file = write([floating.clone()]);
    assert!(file.contains("DTSTART:20260501T100000\r\n"), "{file}");
    assert!(!file.contains("TZID"), "{file}");
    // Another product may have named a zone for the calendar.
    let file = file.replace("VERSION:2.0", "VERSION:2.0\r\nX-WR-TIMEZONE:Europe/London");
    let read_for = |user: Option<&str>| {
        let user = user.map(|name| name.parse().expect("a zone"));
        read(file.as_bytes(), Defaults { zone: default_zone(), user, ..Defaults::default() })
    };
    for (zone, date) in
        [("Europe/Berlin", "2026-05-01T08:00:00Z"), ("Asia/Tokyo", "2026-05-01T01:00:00Z")]
    {
        let entries = read_for(Some(zone)).entries;
        let entry =
            expected(&Exported { date: at(date), time_zone: zone.to_owned(), ..floating.clone() });
        let found: Vec<_> = entries
            .into_iter()
            .map(|entry| Entry { line: 0, version: Version::default(), ..entry })
            .collect();
        assert_eq!(found, [entry]);
    }
    let refused = read_for(None).refused;
    assert!(refused[0].reason.contains("zone of your preferences"), "{refused:?}");
    let digests = |zone| identities(&read_for(Some(zone)).entries)[0].digest;
    assert_eq!(digests("Europe/Berlin"), digests("Asia/Tokyo"), "the wall clock is the same");
}

/// Another program may remove the texts of an exported reminder.
#[test]
fn reads_own_entry_without_texts() {
    let file = event(&["DTSTART:20960507T070000Z", "X-REMINDER-PRIORITY:high"]);
    let entry = read_text(&file.replace("Something", "")).entries.remove(0);
    assert_eq!(entry.title.as_ref(), Some(&entry.message));
    assert!(entry.details().is_ok(), "{entry:?}");
}
