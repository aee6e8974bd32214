//! Cases of public bug reports about calendar files.

use chrono::TimeDelta;

use super::*;

fn alarm(trigger: &str) -> String {
    format!("BEGIN:VALARM\r\nACTION:DISPLAY\r\n{trigger}\r\nEND:VALARM")
}

fn offsets(trigger: &str) -> Vec<i32> {
    only(&event(&["DTSTART:20960507T070000Z", &alarm(trigger)])).notify_offsets
}

/// Dates of the entries of a file, with nothing refused.
fn dates(text: &str) -> Vec<String> {
    let import = read_text(text);
    assert_eq!(import.refused, []);
    import.entries.iter().map(|entry| entry.date.to_rfc3339()).collect()
}

fn version(lines: &[&str]) -> String {
    format!("BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\n{}\r\nEND:VEVENT", lines.join("\r\n"))
}

/// Delivery times of the reminder that an entry becomes.
fn deliveries(entry: &Entry) -> Vec<String> {
    let details = entry.details().expect("a reminder");
    let from = at("2096-01-01T00:00:00Z");
    let mut times: Vec<_> = details
        .schedule
        .upcoming(from, from, 10)
        .into_iter()
        .flat_map(|occurrence| occurrence.deliveries)
        .map(|(_, deliver_at)| deliver_at.to_rfc3339())
        .collect();
    times.sort();
    times
}

#[test]
fn reads_alarm_at_time_in_its_zone() {
    for trigger in [
        "TRIGGER;VALUE=DATE-TIME;TZID=America/New_York:20960507T023000",
        "TRIGGER:VALUE=DATE-TIME;TZID=America/New_York:20960507T023000",
        "TRIGGER;VALUE=DATE-TIME:20960507T063000Z",
        "TRIGGER:VALUE=DATE-TIME:20960507T063000Z",
        "TRIGGER;RELATED=START:-PT30M",
        "TRIGGER:RELATED=START:-PT30M",
    ] {
        assert_eq!(offsets(trigger), [30], "{trigger}");
    }
}

#[test]
fn notes_alarm_when_zone_or_value_is_unknown() {
    for trigger in [
        "TRIGGER;VALUE=DATE-TIME;TZID=Nowhere/Town:20960507T023000",
        "TRIGGER:-P15M",
        "TRIGGER:P",
        "TRIGGER:OTHER=1:-PT5M",
    ] {
        let import = read_text(&event(&["DTSTART:20960507T070000Z", &alarm(trigger)]));
        assert_eq!((import.entries.len(), import.refused.len(), import.notes.len()), (1, 0, 1));
        assert_eq!(import.entries[0].notify_offsets, [0], "{trigger}");
        assert!(import.notes[0].text.contains("TRIGGER cannot be read"), "{:?}", import.notes);
    }
}

#[test]
fn notes_alarm_at_fixed_time_when_entry_recurs() {
    let import = read_text(&event(&[
        "DTSTART:20960507T070000Z",
        "RRULE:FREQ=WEEKLY",
        &alarm("TRIGGER;VALUE=DATE-TIME:20960507T063000Z"),
    ]));
    assert_eq!(import.entries[0].notify_offsets, [30]);
    let text = "an alarm at a fixed time is repeated, as long before each instance";
    assert_eq!(import.notes, [note(10, "1", text)]);
}

#[test]
fn reads_malformed_durations_of_products() {
    for (trigger, minutes) in [
        ("TRIGGER:-P1DT", 1_440),
        ("TRIGGER:-PT1D", 1_440),
        ("TRIGGER:-PT1W", 10_080),
        ("TRIGGER:-PT1D2H", 1_560),
        ("TRIGGER:PT", 0),
        ("TRIGGER:-PT", 0),
        ("TRIGGER:-PT0S", 0),
    ] {
        assert_eq!(offsets(trigger), [minutes], "{trigger}");
    }
}

#[test]
fn counts_alarms_of_task_from_its_end() {
    let task = |lines: &[&str]| {
        let lines = lines.join("\r\n");
        only(&calendar(&["BEGIN:VTODO", "UID:1", "SUMMARY:Dose", &lines, "END:VTODO"]))
    };
    let end = alarm("TRIGGER;RELATED=END:-PT30M");
    let (start, due) = ("DTSTART:20960507T070000Z", "DUE:20960507T170000Z");
    assert_eq!(deliveries(&task(&[start, due, &end])), ["2096-05-07T16:30:00+00:00"]);
    assert_eq!(deliveries(&task(&[start, "DURATION:PT10H", &end])), ["2096-05-07T16:30:00+00:00"]);
    let weekly = task(&[
        start,
        due,
        "RRULE:FREQ=WEEKLY;UNTIL=20960521T070000Z",
        "EXDATE:20960514T070000Z",
        &end,
        &alarm("TRIGGER:-PT5M"),
    ]);
    assert_eq!(
        deliveries(&weekly),
        [
            "2096-05-07T06:55:00+00:00",
            "2096-05-07T16:30:00+00:00",
            "2096-05-21T06:55:00+00:00",
            "2096-05-21T16:30:00+00:00"
        ]
    );
    let days = task(&[start, "DUE:20960509T170000Z", "RRULE:FREQ=WEEKLY;COUNT=2", &end]);
    assert_eq!(deliveries(&days), ["2096-05-09T16:30:00+00:00", "2096-05-16T16:30:00+00:00"]);
    assert_eq!(task(&[start, due]).date, at("2096-05-07T07:00:00Z"), "as before without alarms");
}

#[test]
fn notes_alarm_when_rule_would_change() {
    let import = read_text(&calendar(&[
        "BEGIN:VTODO",
        "UID:1",
        "SUMMARY:Dose",
        "DTSTART:20960507T070000Z",
        "DUE:20960508T170000Z",
        "RRULE:FREQ=WEEKLY;BYDAY=MO",
        &alarm("TRIGGER;RELATED=END:-PT30M"),
        "END:VTODO",
    ]));
    assert_eq!(import.entries[0].date, at("2096-05-07T07:00:00Z"));
    assert_eq!(import.notes.len(), 1);
}

#[test]
fn imports_newest_version_in_any_order() {
    let old = version(&["DTSTART:20960604T090000Z", "SEQUENCE:0", "DTSTAMP:20260101T000000Z"]);
    let new = version(&["DTSTART:20960604T100000Z", "SEQUENCE:2", "DTSTAMP:20250101T000000Z"]);
    let stamped = version(&["DTSTART:20960604T110000Z", "SEQUENCE:0", "DTSTAMP:20260102T000000Z"]);
    for (versions, date) in [
        ([&old, &new], "2096-06-04T10:00:00+00:00"),
        ([&new, &old], "2096-06-04T10:00:00+00:00"),
        ([&old, &stamped], "2096-06-04T11:00:00+00:00"),
        ([&stamped, &old], "2096-06-04T11:00:00+00:00"),
    ] {
        let text = calendar(&versions.map(String::as_str));
        assert_eq!(dates(&text), [date]);
        let notes = read_text(&text).notes;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].text.starts_with("an older version of the entry of line "));
    }
}

#[test]
fn imports_newest_version_of_each_instance() {
    let series = version(&["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=3"]);
    let id = "RECURRENCE-ID:20960611T090000Z";
    let old = version(&[id, "DTSTART:20960611T110000Z", "SEQUENCE:1"]);
    // The same instance, written in a zone.
    let id = "RECURRENCE-ID;TZID=Europe/Berlin:20960611T110000";
    let new = version(&[id, "DTSTART:20960611T140000Z", "SEQUENCE:3"]);
    for versions in [[&series, &old, &new], [&new, &old, &series]] {
        let mut dates = dates(&calendar(&versions.map(String::as_str)));
        dates.sort();
        assert_eq!(dates, ["2096-06-04T09:00:00+00:00", "2096-06-11T14:00:00+00:00"]);
    }
}

#[test]
fn refuses_nothing_when_each_instance_is_changed() {
    let series = version(&["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=2"]);
    let change = |day: &str, hour: &str, more: &str| {
        let id = format!("RECURRENCE-ID:209606{day}T090000Z");
        version(&[&id, &format!("DTSTART:209606{day}T{hour}0000Z"), more])
    };
    let (first, second) = (change("04", "10", "SEQUENCE:1"), change("11", "11", "SEQUENCE:1"));
    assert_eq!(
        dates(&calendar(&[&series, &first, &second])),
        ["2096-06-04T10:00:00+00:00", "2096-06-11T11:00:00+00:00"]
    );
    let over = change("11", "09", "STATUS:CANCELLED");
    assert_eq!(dates(&calendar(&[&series, &first, &over])), ["2096-06-04T10:00:00+00:00"]);
    let both = [&series, &change("04", "09", "STATUS:CANCELLED"), &over];
    let (_, reason) = refusal(&calendar(&both.map(String::as_str)));
    assert_eq!(reason, "each of its instances is cancelled");
}

#[test]
fn reads_time_where_day_is_declared() {
    let entry = only(&event(&["DTSTART;VALUE=DATE;TZID=Europe/Berlin:20960507T073000"]));
    assert_eq!(entry.date, at("2096-05-07T05:30:00Z"));
    let day = only(&event(&["DTSTART;VALUE=DATE;TZID=Europe/Berlin:20960507T000000"]));
    assert_eq!(day.date, at("2096-05-07T07:00:00Z"), "09:00 of the day");
}

/// Case S1.
#[test]
fn reads_listed_dates_beside_and_without_rule() {
    let lists: [(&[&str], &[&str]); 6] = [
        (
            &[
                "DTSTART;TZID=Europe/Berlin:20960604T140000",
                "RDATE;TZID=Europe/Berlin:20960611T140000,20960618T140000",
            ],
            &["06-04T12:00:00", "06-11T12:00:00", "06-18T12:00:00"],
        ),
        (
            &[
                "DTSTART:20960604T120000Z",
                "RDATE;VALUE=PERIOD:20960611T120000Z/20960611T130000Z,20960612T120000Z/PT1H",
            ],
            &["06-04T12:00:00", "06-11T12:00:00", "06-12T12:00:00"],
        ),
        (
            &["DTSTART:20960604T120000Z", "RRULE:FREQ=DAILY;COUNT=2", "RDATE:20960620T120000Z"],
            &["06-04T12:00:00", "06-05T12:00:00", "06-20T12:00:00"],
        ),
        // A whole day is at the time of the start; a date that is excluded or listed twice.
        (
            &[
                "DTSTART;TZID=Europe/Berlin:20960604T140000",
                "RDATE;VALUE=DATE:20960611,20960612",
                "RDATE:20960611T120000Z",
                "EXDATE;TZID=Europe/Berlin:20960612T140000",
            ],
            &["06-04T12:00:00", "06-11T12:00:00"],
        ),
        (
            &["DTSTART:20960604T120000Z", "RDATE:20960611T120000Z,soon"],
            &["06-04T12:00:00", "06-11T12:00:00"],
        ),
        (
            &["DTSTART;VALUE=DATE:20960604", "RDATE;VALUE=DATE:20960611"],
            &["06-04T07:00:00", "06-11T07:00:00"],
        ),
    ];
    for (lines, times) in lists {
        let import = read_text(&event(lines));
        assert_eq!(import.refused, [], "{lines:?}");
        let reads_all = !lines.iter().any(|line| line.contains("soon"));
        assert_eq!(import.notes.is_empty(), reads_all, "{:?}", import.notes);
        let times: Vec<_> = times.iter().map(|time| format!("2096-{time}+00:00")).collect();
        assert_eq!(deliveries(&import.entries[0]), times, "{lines:?}");
    }
}

#[test]
fn refuses_more_listed_dates_than_reminders_have() {
    let dates: Vec<_> =
        (0..1_001).map(|day| at("2096-06-04T12:00:00Z") + TimeDelta::days(day)).collect();
    let list = |dates: &[DateTime<Utc>]| {
        let dates: Vec<_> =
            dates.iter().map(|date| date.format("%Y%m%dT%H%M%SZ").to_string()).collect();
        event(&["DTSTART:20960604T120000Z", &format!("RDATE:{}", dates.join(","))])
    };
    let most = only(&list(&dates[..1_000])).recurrence.expect("a recurrence");
    assert_eq!(most.rdates.len(), 1_000);
    let (_, reason) = refusal(&list(&dates));
    assert_eq!(reason, "it lists more than 1,000 dates (RDATE)");
}

/// Case Z1.
#[test]
fn reads_zones_by_their_definitions_z1() {
    let zones = [
        definitions::european("Customized Time Zone", "+0100", "+0200"),
        definitions::american("Eastern Standard Time 1", "-0500", "-0400"),
    ];
    let event = |line: &str| format!("BEGIN:VEVENT\r\nSUMMARY:Dose\r\n{line}\r\nEND:VEVENT");
    let events = [
        "DTSTART;TZID=\"Customized Time Zone\":20960308T090000",
        "DTSTART;TZID=\"Customized Time Zone\":20960708T090000",
        "DTSTART;TZID=Eastern Standard Time 1:20960708T140000",
    ]
    .map(event);
    let parts: Vec<_> = zones.iter().chain(&events).map(String::as_str).collect();
    assert_eq!(
        dates(&calendar(&parts)),
        ["2096-03-08T08:00:00+00:00", "2096-07-08T07:00:00+00:00", "2096-07-08T18:00:00+00:00"]
    );
}
