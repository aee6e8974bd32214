//! Rules by which each part of an entry is imported.

use super::*;

#[test]
fn places_all_day_entry_by_its_alarms() {
    let day = "DTSTART;VALUE=DATE:20260501";
    let alarm = |trigger: &str| format!("BEGIN:VALARM\r\nTRIGGER:{trigger}\r\nEND:VALARM");
    for (triggers, date, offsets) in [
        (vec![], "2026-05-01T07:00:00Z", vec![0]),
        (vec!["-PT15H"], "2026-04-30T22:00:00Z", vec![900]),
        (vec!["PT0S"], "2026-04-30T22:00:00Z", vec![0]),
        (vec!["PT8H30M"], "2026-05-01T06:30:00Z", vec![0]),
        (vec!["-PT15H", "PT9H", "PT10H"], "2026-05-01T08:00:00Z", vec![0, 60, 1_500]),
        (vec!["P2D"], "2026-05-01T07:00:00Z", vec![0]),
    ] {
        let alarms: Vec<_> = triggers.iter().map(|trigger| alarm(trigger)).collect();
        let entry = only(&event(&[day, &alarms.join("\r\n")]));
        assert_eq!((entry.date, entry.notify_offsets), (at(date), offsets), "{triggers:?}");
    }
}

#[test]
fn counts_alarms_from_the_start() {
    for (alarm, offsets) in [
        ("TRIGGER:-PT1H", vec![60]),
        ("TRIGGER:-P1W", vec![10_080]),
        ("TRIGGER:-PT90S", vec![2]),
        ("TRIGGER;RELATED=END:-PT2H", vec![60]),
        ("TRIGGER;RELATED=END:PT0S", vec![0]),
        ("TRIGGER;VALUE=DATE-TIME:20260501T073000Z", vec![30]),
        ("TRIGGER:-PT15M\r\nREPEAT:3\r\nDURATION:PT5M", vec![0, 5, 10, 15]),
        ("TRIGGER:-P28D", vec![40_320]),
        ("TRIGGER:-P99999999999999999999D", vec![0]),
        ("TRIGGER:-P9999999999999D", vec![0]),
    ] {
        let entry = only(&event(&[
            "DTSTART:20260501T080000Z",
            "DURATION:PT1H",
            "BEGIN:VALARM",
            alarm,
            "END:VALARM",
        ]));
        assert_eq!(entry.notify_offsets, offsets, "{alarm}");
    }
}

#[test]
fn leaves_out_a_sixth_alarm() {
    let alarms = (1..=6)
        .map(|minutes| format!("BEGIN:VALARM\r\nTRIGGER:-PT{minutes}M\r\nEND:VALARM"))
        .collect::<Vec<_>>();
    let import = read_text(&event(&["DTSTART:20260501T080000Z", &alarms.join("\r\n")]));
    assert_eq!(import.entries[0].notify_offsets, [1, 2, 3, 4, 5]);
    assert_eq!(import.notes, [note(22, "1", "an alarm was left out: there are 5 already")]);
}

#[test]
fn writes_exclusion_in_local_time_of_series() {
    for (exdate, expected) in [
        ("EXDATE;TZID=Europe/Berlin:20260503T100000", vec!["2026-05-03T10:00:00"]),
        (
            "EXDATE:20260503T100000,20260504T100000",
            vec!["2026-05-03T10:00:00", "2026-05-04T10:00:00"],
        ),
        ("EXDATE:20260503T080000Z", vec!["2026-05-03T10:00:00"]),
        ("EXDATE;TZID=Asia/Tokyo:20260503T170000", vec!["2026-05-03T10:00:00"]),
        ("EXDATE;VALUE=DATE:20260503", vec!["2026-05-03"]),
        ("EXDATE:20260503T080000Z\r\nEXDATE:20260503T080000Z", vec!["2026-05-03T10:00:00"]),
        // Half past two occurs twice on this day; the file names the one to exclude.
        ("EXDATE:20261025T003000Z", vec!["2026-10-25T00:30:00Z"]),
    ] {
        let entry = only(&event(&[
            "DTSTART;TZID=Europe/Berlin:20260501T100000",
            "RRULE:FREQ=DAILY",
            exdate,
        ]));
        assert_eq!(entry.recurrence, every("FREQ=DAILY", &expected), "{exdate}");
    }
}

#[test]
fn ends_and_excludes_whole_days_by_day() {
    let lines = [
        "DTSTART;VALUE=DATE:20260501",
        "RRULE:FREQ=DAILY;UNTIL=20260601T215959Z",
        "EXDATE:20260503T220000Z",
    ];
    assert_eq!(
        only(&event(&lines)).recurrence,
        every("FREQ=DAILY;UNTIL=20260601", &["2026-05-04"])
    );
}

#[test]
fn refuses_unsupported_rules() {
    for line in [
        "RRULE:DAILY",
        "RRULE:COUNT=3",
        "RRULE:FREQ=DAILY;FREQ=DAILY",
        "RRULE:FREQ=DAILY;COUNT=",
        "RRULE:FREQ=DAILY\r\nRRULE:FREQ=WEEKLY",
    ] {
        let (at, _) = refusal(&event(&["DTSTART:20260501T080000Z", line]));
        assert_eq!(at, if line.contains('\n') { 8 } else { 7 }, "{line}");
    }
}

#[test]
fn reads_no_rule_from_an_empty_property() {
    assert_eq!(only(&event(&["DTSTART:20260501T080000Z", "RRULE:"])).recurrence, None);
}

#[test]
fn reads_lone_instance_as_single_entry() {
    let lines = ["DTSTART:20260502T090000Z", "RECURRENCE-ID:20260501T080000Z", "RRULE:FREQ=DAILY"];
    let import = read_text(&event(&lines));
    let expected = Entry {
        instance: Some("2026-05-01T08:00:00".to_owned()),
        ..entry(3, "1", "2026-05-02T09:00:00Z", "UTC", "Something")
    };
    assert_eq!(import.entries, [expected]);
    assert_eq!(import.notes, [note(8, "1", "the rule (RRULE) of a single instance was left out")]);
}

#[test]
fn refuses_events_of_a_cancellation() {
    let event = "BEGIN:VEVENT\r\nSUMMARY:Tea\r\nDTSTART:20260501T080000Z\r\nEND:VEVENT";
    assert_eq!(
        refusal(&calendar(&["METHOD:CANCEL", event])),
        (4, "it is cancelled (METHOD:CANCEL)".to_owned())
    );
}

#[test]
fn cuts_long_texts() {
    let summary = format!("SUMMARY:{}", "ü".repeat(201));
    let description = format!("DESCRIPTION:{}", "ü".repeat(2_001));
    let lines =
        ["BEGIN:VEVENT", "UID:1", "DTSTART:20260501T080000Z", &summary, &description, "END:VEVENT"];
    let import = read_text(&calendar(&lines));
    let entry = &import.entries[0];
    assert_eq!(
        (entry.title.as_deref(), entry.message.as_str()),
        (Some(&*"ü".repeat(200)), &*"ü".repeat(2_000))
    );
    let notes = [
        note(6, "1", "the title was cut to 200 characters"),
        note(7, "1", "the message was cut to 2,000 characters"),
    ];
    assert_eq!(import.notes, notes);
}

#[test]
fn titles_entry_without_a_summary() {
    let languages = Languages::of_header("fr-CA, en;q=0.5");
    for (lines, title, message) in [
        (vec!["DESCRIPTION:Only\\nthis"], "Rappel", "Only\nthis"),
        (vec!["SUMMARY: \\n", "DESCRIPTION;LANGUAGE=de-AT:Only this"], "Erinnerung", "Only this"),
        (vec!["SUMMARY;LANGUAGE=it:"], "Promemoria", "Promemoria"),
        (vec!["LOCATION:Here"], "Rappel", "Rappel"),
    ] {
        let lines = lines.join("\r\n");
        let text = calendar(&["BEGIN:VEVENT", "DTSTART:20260501T080000Z", &lines, "END:VEVENT"]);
        let defaults = Defaults { languages: languages.clone(), ..default_zone().into() };
        let import = read(text.as_bytes(), defaults);
        let entry = &import.entries[0];
        assert_eq!((entry.title.as_deref(), entry.message.as_str()), (Some(title), message));
        let note = import.notes.iter().find(|note| note.line == 3).expect("a note");
        assert_eq!(note.text, format!("it has no SUMMARY: its title is {title}"));
    }
}

#[test]
fn notes_properties_that_are_left_out() {
    let import = read_text(&event(&[
        "DTSTART:20260501T080000Z",
        "LOCATION:Room 1",
        "ATTACH:https://example.com/file",
        "SUMMARY:Another",
        "X-COLOR:blue",
        "BEGIN:VLOCATION",
        "END:VLOCATION",
    ]));
    let expected = [
        note(7, "1", "LOCATION was left out: a reminder has nothing like it"),
        note(8, "1", "ATTACH was left out: a reminder has nothing like it"),
        note(9, "1", "another SUMMARY was left out: the first counts"),
        note(11, "1", "VLOCATION in it was left out"),
    ];
    assert_eq!(import.notes, expected);
    assert_eq!(import.entries[0].title.as_deref(), Some("Something"));
}

#[test]
fn notes_characters_that_are_removed() {
    let import = read_text(&event(&["DTSTART:20260501T080000Z", "DESCRIPTION:a\u{7}b\u{ffff}"]));
    assert_eq!(import.entries[0].message, "ab");
    let text = "characters that cannot be shown were removed from DESCRIPTION";
    assert_eq!(import.notes, [note(7, "1", text)]);
}

#[test]
fn unfolds_line_inside_a_character() {
    let text = event(&["DTSTART:20260501T080000Z", "DESCRIPTION:Gr|üße"]);
    let (before, after) = text.split_once("|ü").expect("a mark");
    let file = [before.as_bytes(), b"\xc3\r\n \xbc", after.as_bytes()].concat();
    let import = read(&file, default_zone());
    assert_eq!(import.entries[0].message, "Grüße");
    assert_eq!(import.notes, []);
}

#[test]
fn accepts_byte_order_mark_and_other_line_ends() {
    let text = event(&["DTSTART:20260501T080000Z", "DESCRIPTION:One\r\n  two"]);
    let expected = only(&text);
    for other in [format!("\u{feff}{text}"), text.replace("\r\n", "\n"), text.replace('\n', "")] {
        assert_eq!(only(&other), expected);
    }
    let stray = "BEGIN:VEVENT\nUID:1\nSUMMARY:Tea\nDTSTART:20260501T080000Z\nEND:VEVENT";
    assert_eq!(only(stray), entry(1, "1", "2026-05-01T08:00:00Z", "UTC", "Tea"));
}

#[test]
fn reports_text_in_another_encoding() {
    let text = event(&["DTSTART:20260501T080000Z", "DESCRIPTION:Gr|e"]);
    let (before, after) = text.split_once('|').expect("a mark");
    let import = read(&[before.as_bytes(), b"\xfc\xdf", after.as_bytes()].concat(), default_zone());
    assert_eq!(import.entries[0].message, "Gr\u{fffd}\u{fffd}e");
    let text = "DESCRIPTION is not written in UTF-8: some of its characters are lost".to_owned();
    assert_eq!(import.notes, [Note { line: 7, uid: None, text }]);
}

#[test]
fn refuses_file_that_is_no_calendar() {
    for (text, reason) in [
        ("", "it is not a calendar: it has no BEGIN:VCALENDAR"),
        ("\r\n\r\n", "it is not a calendar: it has no BEGIN:VCALENDAR"),
    ] {
        assert_eq!(refusal(text), (1, reason.to_owned()));
    }
    let import = read_text(&"<html>\n".repeat(100_000));
    assert_eq!((import.entries.len(), import.refused.len()), (0, 101));
    assert!(import.refused[100].reason.ends_with("later lines of this kind are not listed"));
}

#[test]
fn refuses_entries_beyond_the_thousandth() {
    let event = "BEGIN:VEVENT\r\nSUMMARY:Tea\r\nDTSTART:20260501T080000Z\r\nEND:VEVENT\r\n";
    let import = read_text(&calendar(&[&event.repeat(1_002)]));
    assert_eq!((import.entries.len(), import.refused.len()), (1_000, 2));
    assert_eq!(
        (import.refused[0].line, import.refused[0].reason.as_str()),
        (4_003, "the file has more than 1,000 entries")
    );
}

#[test]
fn reports_bounded_number_of_notes() {
    let uid = format!("UID:{}", "u".repeat(1_000));
    let alarms = "BEGIN:VALARM\r\nEND:VALARM\r\n".repeat(5_000);
    let import = read_text(&calendar(&[
        "BEGIN:VEVENT",
        &uid,
        "SUMMARY:Tea",
        "DTSTART:20260501T080000Z",
        &alarms,
        "END:VEVENT",
    ]));
    assert_eq!((import.entries.len(), import.refused.len(), import.notes.len()), (1, 0, 1_001));
    let last = Note {
        line: 2_005,
        uid: None,
        text: "4000 more are not listed: the limit is 1000".to_owned(),
    };
    assert_eq!(import.notes.last(), Some(&last));
}

#[test]
fn reports_bounded_number_of_refusals() {
    let import = read_text(&calendar(&[&"BEGIN:VJOURNAL\r\nEND:VJOURNAL\r\n".repeat(1_500)]));
    assert_eq!((import.entries.len(), import.refused.len()), (0, 1_001));
    assert_eq!(import.refused[1_000].reason, "500 more are not listed: the limit is 1000");
}

#[test]
fn refuses_entry_with_a_long_uid() {
    let uid = format!("UID:{}", "ü".repeat(1_001));
    let import = read_text(&calendar(&[
        "BEGIN:VEVENT",
        &uid,
        "SUMMARY:Tea",
        "DTSTART:20260501T080000Z",
        "END:VEVENT",
    ]));
    assert_eq!((import.entries.len(), import.refused.len()), (0, 1));
    assert_eq!(import.refused[0].reason, "its UID has more than 1,000 characters");
    assert_eq!(import.refused[0].uid, Some("ü".repeat(1_000)));
}

#[test]
fn reads_a_bounded_number_of_properties() {
    let first =
        ["BEGIN:VEVENT", "UID:1", "SUMMARY:Something", "DTSTART:20260501T080000Z", "END:VEVENT"]
            .join("\r\n");
    let import =
        read_text(&calendar(&[&first, "BEGIN:VEVENT", &"UID:2\r\n".repeat(100_000), "END:VEVENT"]));
    assert_eq!(import.entries, [entry(3, "1", "2026-05-01T08:00:00Z", "UTC", "Something")]);
    let reason =
        "the file has more than 100,000 properties; this line and those after it are not read"
            .to_owned();
    assert_eq!(
        import.refused.last(),
        Some(&Refused { line: 100_006, uid: None, summary: None, reason })
    );
}

#[test]
fn skips_components_nested_too_deep() {
    let text = event(&[
        "DTSTART:20260501T080000Z",
        &"BEGIN:X-DEEP\r\n".repeat(50_000),
        &"END:X-DEEP\r\n".repeat(50_000),
    ]);
    let import = read_text(&text);
    assert_eq!(import.entries, [entry(3, "1", "2026-05-01T08:00:00Z", "UTC", "Something")]);
    assert_eq!(import.refused[0].reason, "line 13 begins a component that is nested too deep");
}

#[test]
fn reads_a_bounded_number_of_components() {
    let import = read_text(&format!("BEGIN:VCALENDAR\r\n{}", "BEGIN:VEVENT\r\n".repeat(100_000)));
    assert_eq!(import.entries.len(), 0);
    assert_eq!(import.refused.len(), 1_001);
    let last = import.refused.get(999).expect("one");
    assert_eq!(last.reason, "the file has more than 20000 components; the rest is not read");
    assert_eq!(last.line, 20_001);
    assert_eq!(import.refused[1_000].reason, "19000 more are not listed: the limit is 1000");
}
