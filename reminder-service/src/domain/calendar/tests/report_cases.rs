//! The cases of public bug reports about calendar files, each by its id in the collection of
//! reports, with the right result.

use chrono::TimeDelta;

use super::*;

fn component(kind: &str, lines: &[&str]) -> String {
    format!("BEGIN:{kind}\r\nSUMMARY:Dose\r\n{}\r\nEND:{kind}", lines.join("\r\n"))
}

fn vevent(lines: &[&str]) -> String {
    component("VEVENT", lines)
}

fn alarm(lines: &[&str]) -> String {
    format!("BEGIN:VALARM\r\n{}\r\nEND:VALARM", lines.join("\r\n"))
}

/// Delivery times of the reminders that components become, at most `limit` occurrences of each,
/// with nothing refused. A time without a zone is in `zone`.
fn delivered_in(zone: &str, components: &[&str], limit: usize) -> Vec<Vec<String>> {
    let zone: Zone = zone.parse().expect("a zone");
    let import = read(calendar(components).as_bytes(), zone);
    assert_eq!(import.refused, []);
    let deliveries = |entry: &Entry| {
        let details = entry.details().expect("a reminder");
        let from = at("2027-01-01T00:00:00Z");
        let mut times: Vec<_> = details
            .schedule
            .upcoming(from, from, limit)
            .into_iter()
            .flat_map(|occurrence| occurrence.deliveries)
            .map(|(_, deliver_at)| deliver_at.format("%Y-%m-%dT%H:%MZ").to_string())
            .collect();
        times.sort();
        times
    };
    import.entries.iter().map(deliveries).collect()
}

fn delivered(components: &[&str]) -> Vec<Vec<String>> {
    delivered_in("UTC", components, 10)
}

fn one(lines: &[&str]) -> Vec<String> {
    delivered(&[&vevent(lines)]).concat()
}

#[test]
fn places_alarm_by_its_zone_a8() {
    let trigger = "TRIGGER;VALUE=DATE-TIME;TZID=America/New_York:20960507T023000";
    let alarm = alarm(&["ACTION:DISPLAY", trigger]);
    assert_eq!(one(&["DTSTART:20960507T070000Z", &alarm]), ["2096-05-07T06:30Z"]);
}

#[test]
fn takes_highest_sequence_s7() {
    let [old, new] =
        ["DTSTART:20960604T090000Z\r\nSEQUENCE:0", "DTSTART:20960604T100000Z\r\nSEQUENCE:2"]
            .map(|lines| vevent(&["UID:1", lines]));
    for versions in [[&old, &new], [&new, &old]] {
        assert_eq!(delivered(&versions.map(String::as_str)), [["2096-06-04T10:00Z"]]);
    }
    let series = vevent(&["UID:2", "DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=3"]);
    let [first, last] = [("11", 1), ("14", 3)].map(|(hour, sequence)| {
        vevent(&[
            "UID:2\r\nRECURRENCE-ID:20960611T090000Z",
            &format!("DTSTART:20960611T{hour}0000Z\r\nSEQUENCE:{sequence}"),
        ])
    });
    for changes in [[&series, &first, &last], [&series, &last, &first]] {
        let delivered = delivered(&changes.map(String::as_str)).concat();
        assert_eq!(delivered, ["2096-06-04T09:00Z", "2096-06-18T09:00Z", "2096-06-11T14:00Z"]);
    }
}

#[test]
fn refuses_nothing_of_overridden_series_s8() {
    let series = vevent(&["UID:1", "DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=2"]);
    let [first, second] = [("04", "10"), ("11", "11")].map(|(day, hour)| {
        vevent(&[
            &format!("UID:1\r\nRECURRENCE-ID:209606{day}T090000Z"),
            &format!("DTSTART:209606{day}T{hour}0000Z"),
        ])
    });
    let delivered = delivered(&[&series, &first, &second]);
    assert_eq!(delivered, [["2096-06-04T10:00Z"], ["2096-06-11T11:00Z"]]);
}

#[test]
fn counts_alarms_of_task_from_due_b1() {
    let alarm = alarm(&["ACTION:DISPLAY", "TRIGGER;RELATED=END:-PT30M"]);
    let (start, due) = ("DTSTART:20960507T070000Z", "DUE:20960507T170000Z");
    let single = component("VTODO", &[start, due, &alarm]);
    assert_eq!(delivered(&[&single]), [["2096-05-07T16:30Z"]]);
    let weekly = component("VTODO", &[start, due, "RRULE:FREQ=WEEKLY;COUNT=3", &alarm]);
    assert_eq!(
        delivered(&[&weekly]),
        [["2096-05-07T16:30Z", "2096-05-14T16:30Z", "2096-05-21T16:30Z"]]
    );
}

#[test]
fn follows_dates_beside_rule_s1() {
    let zone = "TZID=Europe/Berlin";
    let days = |days: &[&str]| -> Vec<_> {
        days.iter().map(|day| format!("2096-06-{day}T12:00Z")).collect()
    };
    for (lines, expected) in [
        (
            vec![
                format!("DTSTART;{zone}:20960604T140000"),
                format!("RDATE;{zone}:20960611T140000,20960618T140000"),
            ],
            days(&["04", "11", "18"]),
        ),
        (
            vec![
                "DTSTART:20960604T120000Z".to_owned(),
                "RDATE;VALUE=PERIOD:20960611T120000Z/20960611T130000Z".to_owned(),
            ],
            days(&["04", "11"]),
        ),
        (
            vec![
                "DTSTART:20960604T120000Z".to_owned(),
                "RRULE:FREQ=DAILY;COUNT=2".to_owned(),
                "RDATE:20960620T120000Z".to_owned(),
            ],
            days(&["04", "05", "20"]),
        ),
    ] {
        assert_eq!(one(&[&lines.join("\r\n")]), expected);
    }
}

#[test]
fn reads_misplaced_days_and_weeks_a3() {
    for (trigger, expected) in [
        ("-P1DT", "2096-05-06T07:00Z"),
        ("-PT1D", "2096-05-06T07:00Z"),
        ("-PT1W", "2096-04-30T07:00Z"),
    ] {
        let alarm = alarm(&["ACTION:DISPLAY", &format!("TRIGGER:{trigger}")]);
        assert_eq!(one(&["DTSTART:20960507T070000Z", &alarm]), [expected], "{trigger}");
    }
}

#[test]
fn counts_alarms_of_day_from_midnight_a2() {
    let alarms = ["-P6DT15H", "-P1W6DT15H", "-PT15H", "PT0S"]
        .map(|trigger| alarm(&["ACTION:DISPLAY", &format!("TRIGGER:{trigger}")]));
    let yearly = ["DTSTART;VALUE=DATE:20960701", "RRULE:FREQ=YEARLY", &alarms.join("\r\n")];
    assert_eq!(
        delivered_in("Europe/Berlin", &[&vevent(&yearly)], 1),
        [["2096-06-17T07:00Z", "2096-06-24T07:00Z", "2096-06-30T07:00Z", "2096-06-30T22:00Z"]]
    );
}

#[test]
fn ignores_alarm_that_was_removed_a5() {
    let none = alarm(&[
        "ACTION:NONE",
        "TRIGGER;VALUE=DATE-TIME:19760401T005545Z",
        "X-APPLE-DEFAULT-ALARM:TRUE",
    ]);
    let email = alarm(&["ACTION:EMAIL", "TRIGGER:-PT16M"]);
    let start = "DTSTART:20960507T070000Z";
    assert_eq!(one(&[start, &none, &email]), ["2096-05-07T06:44Z"]);
    assert_eq!(one(&[start, &none]), ["2096-05-07T07:00Z"]);
}

#[test]
fn repeats_alarm_a6() {
    let alarm = alarm(&["ACTION:DISPLAY", "TRIGGER:-PT30M", "REPEAT:2", "DURATION:PT10M"]);
    assert_eq!(
        one(&["DTSTART:20960507T070000Z", &alarm]),
        ["2096-05-07T06:30Z", "2096-05-07T06:40Z", "2096-05-07T06:50Z"]
    );
}

#[test]
fn places_alarm_of_day_on_wall_clock_a7() {
    let alarm = alarm(&["ACTION:DISPLAY", "TRIGGER;RELATED=START:-PT15H"]);
    let day = vevent(&["DTSTART;VALUE=DATE:20961018", &alarm]);
    for (zone, expected) in
        [("Europe/Berlin", "2096-10-17T07:00Z"), ("America/Los_Angeles", "2096-10-17T16:00Z")]
    {
        assert_eq!(delivered_in(zone, &[&day], 10), [[expected]]);
    }
}

#[test]
fn counts_alarms_of_task_without_start_b2() {
    let todo = |lines: &[&str]| component("VTODO", lines);
    let due = "DUE:20960507T170000Z";
    let [of_end, plain] = ["TRIGGER;RELATED=END:-PT1H", "TRIGGER:-PT1H"]
        .map(|trigger| alarm(&["ACTION:DISPLAY", trigger]));
    for (task, expected) in [
        (todo(&[due, &of_end]), "2096-05-07T16:00Z"),
        (todo(&[due, &plain]), "2096-05-07T16:00Z"),
        (todo(&[due]), "2096-05-07T17:00Z"),
        (todo(&["DUE;TZID=Europe/Vienna:20960507T170000"]), "2096-05-07T15:00Z"),
    ] {
        assert_eq!(delivered(&[&task]), [[expected]], "{task}");
    }
}

#[test]
fn excludes_whole_days_s2() {
    let excluded = ["20520331", "20520407", "20520414", "20520428", "20520505"]
        .map(|day| format!("EXDATE;VALUE=DATE:{day}"));
    let lines = [
        "DTSTART;TZID=Europe/Vienna:20520317T100000",
        "RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20520526T080000Z",
        &excluded.join("\r\n"),
    ];
    assert_eq!(
        one(&lines),
        [
            "2052-03-17T09:00Z",
            "2052-03-24T09:00Z",
            "2052-04-21T08:00Z",
            "2052-05-12T08:00Z",
            "2052-05-19T08:00Z",
            "2052-05-26T08:00Z",
        ]
    );
}

#[test]
fn excludes_instances_in_windows_zone_s3() {
    let zone = "TZID=W. Europe Standard Time";
    let lines = [
        &format!("DTSTART;{zone}:20481214T093000"),
        "RRULE:FREQ=WEEKLY;UNTIL=20490308T083000Z;INTERVAL=2;BYDAY=MO;WKST=MO",
        &format!("EXDATE;{zone}:20481228T093000,20490125T093000,20490208T093000"),
    ];
    let days = ["2048-12-14", "2049-01-11", "2049-02-22", "2049-03-08"];
    assert_eq!(one(&lines), days.map(|day| format!("{day}T08:30Z")));
}

#[test]
fn keeps_texts_of_event_apart_from_alarm_l2() {
    let alarm =
        alarm(&["TRIGGER:-P1D", "ACTION:DISPLAY", "DESCRIPTION:Alarm text", "UID:of-the-alarm"]);
    let event = [
        "BEGIN:VEVENT",
        &alarm,
        "DESCRIPTION:Own text",
        "DTSTART:20960507T070000Z",
        "SUMMARY:Best title",
        "UID:of-the-event",
        "END:VEVENT",
    ];
    let entry = only(&calendar(&event));
    assert_eq!(
        (entry.title.as_deref(), entry.message.as_str(), entry.uid.as_deref()),
        (Some("Best title"), "Own text", Some("of-the-event"))
    );
    assert_eq!(entry.notify_offsets, [1_440]);
}

/// A reader that knows none of the names gets the same instants by the definitions alone.
#[test]
fn exports_definitions_that_suffice_l3() {
    for name in [
        "Africa/Casablanca",
        "Europe/Dublin",
        "Australia/Lord_Howe",
        "Antarctica/Troll",
        "America/Santiago",
        "America/Nuuk",
        "Asia/Gaza",
        "America/New_York",
        "Europe/Paris",
        "Asia/Kathmandu",
    ] {
        for time in ["02:30", "12:00", "00:00"] {
            let zone: Zone = name.parse().expect("a zone");
            let local = format!("2027-01-15T{time}:00").parse().expect("a local time");
            let reminder = Exported {
                date: zone.instant(local).expect("an instant"),
                time_zone: name.to_owned(),
                recurrence: every("FREQ=DAILY", &[]),
                ..round_trip::exported()
            };
            let location = format!("X-LIC-LOCATION:{name}\r\n");
            let file = write([reminder.clone()]).replace(&location, "");
            let file = file
                .replace(&format!("TZID:{name}"), "TZID:Private")
                .replace(&format!("TZID={name}"), "TZID=Private");
            let import = read(file.as_bytes(), Zone::UTC);
            let occurrences = |entry: &Entry| -> Vec<_> {
                let schedule = entry.details().expect("a reminder").schedule;
                let from = reminder.date - TimeDelta::days(1);
                schedule.upcoming(from, from, 365).iter().map(|one| one.at).collect()
            };
            let expected = only(&write([reminder.clone()]));
            assert_eq!(occurrences(&import.entries[0]), occurrences(&expected), "{name} {time}");
        }
    }
}

#[test]
fn reads_old_and_new_names_of_zones_r11() {
    for (name, instant) in [
        ("Europe/Kyiv", "2096-07-02T06:00Z"),
        ("Europe/Kiev", "2096-07-02T06:00Z"),
        ("Asia/Kolkata", "2096-07-02T03:30Z"),
        ("Asia/Calcutta", "2096-07-02T03:30Z"),
        ("America/Argentina/Buenos_Aires", "2096-07-02T12:00Z"),
        ("America/Buenos_Aires", "2096-07-02T12:00Z"),
        ("US/Pacific", "2096-07-02T16:00Z"),
        ("America/Coyhaique", "2096-07-02T12:00Z"),
        ("Asia/Saigon", "2096-07-02T02:00Z"),
        ("Etc/GMT+5", "2096-07-02T14:00Z"),
    ] {
        assert_eq!(one(&[&format!("DTSTART;TZID={name}:20960702T090000")]), [instant], "{name}");
    }
}

#[test]
fn reads_text_with_nul_p1() {
    let event = vevent(&["DTSTART:20960507T070000Z", "DESCRIPTION:a\u{0}b"]);
    let import = read_text(&calendar(&[&event]));
    assert_eq!(import.entries[0].message, "ab");
    assert_eq!(import.notes.len(), 1);
}
