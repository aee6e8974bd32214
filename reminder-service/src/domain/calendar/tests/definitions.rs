//! Time zones by their definitions in the file.

use super::*;

/// An observance with a rule, in the form that Outlook writes.
pub(super) fn observance(kind: &str, offsets: (&str, &str), onset: &str, rule: &str) -> String {
    let rule = if rule.is_empty() { String::new() } else { format!("\r\nRRULE:{rule}") };
    let (from, to) = offsets;
    format!(
        "BEGIN:{kind}\r\nDTSTART:{onset}{rule}\r\nTZOFFSETFROM:{from}\r\nTZOFFSETTO:{to}\r\n\
         END:{kind}"
    )
}

pub(super) fn definition(tzid: &str, observances: &[&str]) -> String {
    let observances = observances.join("\r\n");
    format!("BEGIN:VTIMEZONE\r\nTZID:{tzid}\r\n{observances}\r\nEND:VTIMEZONE")
}

/// Definition with the changes of the European Union.
pub(super) fn european(tzid: &str, winter: &str, summer: &str) -> String {
    let [to_summer, to_winter] =
        [3, 10].map(|month| format!("FREQ=YEARLY;BYDAY=-1SU;BYMONTH={month}"));
    definition(
        tzid,
        &[
            &observance("STANDARD", (summer, winter), "16011028T030000", &to_winter),
            &observance("DAYLIGHT", (winter, summer), "16010325T020000", &to_summer),
        ],
    )
}

/// Definition with the changes of the United States since 2007.
pub(super) fn american(tzid: &str, winter: &str, summer: &str) -> String {
    let (to_summer, to_winter) =
        ("FREQ=YEARLY;BYDAY=2SU;BYMONTH=3", "FREQ=YEARLY;BYDAY=1SU;BYMONTH=11");
    definition(
        tzid,
        &[
            &observance("STANDARD", (summer, winter), "16011104T020000", to_winter),
            &observance("DAYLIGHT", (winter, summer), "16010311T020000", to_summer),
        ],
    )
}

pub(super) fn event_in(tzid: &str, local: &str, more: &[&str]) -> String {
    let lines = more.join("\r\n");
    format!(
        "BEGIN:VEVENT\r\nSUMMARY:Dose\r\nDTSTART;TZID=\"{tzid}\":{local}\r\n{lines}\r\nEND:VEVENT"
    )
}

/// Instants and zones of the entries of a calendar, and the texts of its notes.
fn read_all(parts: &[&str]) -> (Vec<(String, String)>, Vec<String>) {
    let import = read_text(&calendar(parts));
    assert_eq!(import.refused, []);
    let entries = import.entries.into_iter();
    let entries =
        entries.map(|entry| (entry.date.format("%Y-%m-%dT%H:%MZ").to_string(), entry.time_zone));
    (entries.collect(), import.notes.into_iter().map(|note| note.text).collect())
}

#[test]
fn reads_zone_with_yearly_changes() {
    for (definition, local, instant, zone) in [
        (european("Own", "+0000", "+0100"), "20960708T090000", "2096-07-08T08:00Z", None),
        (
            european("Own", "+0100", "+0200"),
            "20960308T090000",
            "2096-03-08T08:00Z",
            // The zone of the user, which has the same changes.
            Some("Europe/Madrid"),
        ),
        (
            american("Own", "-0500", "-0400"),
            "20960708T140000",
            "2096-07-08T18:00Z",
            Some("America/New_York"),
        ),
        (
            american("Own", "-0330", "-0230"),
            "20961208T140000",
            "2096-12-08T17:30Z",
            Some("America/St_Johns"),
        ),
        (
            definition(
                "Own",
                &[
                    &observance(
                        "STANDARD",
                        ("+1100", "+1000"),
                        "20080406T030000",
                        "FREQ=YEARLY;BYMONTH=4;BYDAY=1SU",
                    ),
                    &observance(
                        "DAYLIGHT",
                        ("+1000", "+1100"),
                        "20081005T020000",
                        "FREQ=YEARLY;BYMONTH=10;BYDAY=1SU",
                    ),
                ],
            ),
            "20960101T100000",
            "2095-12-31T23:00Z",
            Some("Australia/Sydney"),
        ),
    ] {
        let (entries, notes) = read_all(&[&definition, &event_in("Own", local, &[])]);
        assert_eq!(entries[0].0, instant);
        if let Some(zone) = zone {
            assert_eq!(entries[0].1, zone);
            assert_eq!(notes, [format!("the time zone Own is read as {zone}")]);
        }
    }
}

#[test]
fn notes_zone_at_line_of_its_definition() {
    let first = event_in("Own", "20960308T090000", &[]);
    let parts = [first.as_str(), &american("Own", "-0600", "-0500"), &first];
    let notes = read_text(&calendar(&parts)).notes;
    let text = "the time zone Own is read as America/Chicago".to_owned();
    assert_eq!(notes, [Note { line: 8, uid: None, text }]);
}

#[test]
fn reads_fixed_offsets() {
    for (tzid, offset, zone, instant) in [
        ("GMT+05:00", "+0500", "Etc/GMT-5", "2096-07-08T04:00Z"),
        ("GMT-0800", "-0800", "Etc/GMT+8", "2096-07-08T17:00Z"),
        ("UTC+5:30", "+0530", "Asia/Kolkata", "2096-07-08T03:30Z"),
        ("UTC-3", "-0300", "Etc/GMT+3", "2096-07-08T12:00Z"),
        ("+0100", "+0100", "Etc/GMT-1", "2096-07-08T08:00Z"),
        ("Work", "+0545", "Asia/Kathmandu", "2096-07-08T03:15Z"),
        ("Customized Time Zone", "+0000", "UTC", "2096-07-08T09:00Z"),
    ] {
        let fixed = observance("STANDARD", (offset, offset), "16010101T000000", "");
        let defined = definition(tzid, &[&fixed]);
        let daily = event_in(tzid, "20960708T090000", &["RRULE:FREQ=DAILY"]);
        let (entries, _) = read_all(&[&defined, &daily]);
        assert_eq!(entries, [(instant.to_owned(), zone.to_owned())], "{tzid}");
        if tzid.contains(['+', '-']) {
            assert_eq!(read_all(&[&daily]).0, entries, "{tzid} without definition");
        }
    }
}

/// Before 2007, the changes of the United States were in April and October.
pub(super) const OLD: [(&str, (&str, &str), &str, &str); 2] = [
    ("STANDARD", ("-0400", "-0500"), "20001029T020000", "FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10"),
    ("DAYLIGHT", ("-0500", "-0400"), "20000402T020000", "FREQ=YEARLY;BYDAY=1SU;BYMONTH=4"),
];

pub(super) fn old() -> String {
    let [winter, summer] =
        OLD.map(|(kind, offsets, onset, rule)| observance(kind, offsets, onset, rule));
    definition("Old", &[&winter, &summer])
}

#[test]
fn keeps_instants_when_no_zone_is_alike() {
    let [march, july, november] = ["20960320T090000", "20960708T090000", "20961101T090000"]
        .map(|local| event_in("Old", local, &[]));
    let (entries, notes) = read_all(&[&old(), &march, &july, &november]);
    let instants = entries.iter().map(|(instant, zone)| (instant.as_str(), zone.as_str()));
    let expected =
        [("2096-03-20T14:00Z", "UTC"), ("2096-07-08T13:00Z", "UTC"), ("2096-11-01T14:00Z", "UTC")];
    assert!(instants.eq(expected), "{entries:?}");
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("which no known zone follows"), "{notes:?}");
}

#[test]
fn reads_gap_and_fold_by_definition() {
    // On the first Sunday of April, 02:30 does not exist; on the last of October, 01:30 is twice.
    for (local, instant) in [
        ("20960401T023000", "2096-04-01T07:30Z"),
        ("20961028T013000", "2096-10-28T05:30Z"),
        ("20961028T023000", "2096-10-28T07:30Z"),
    ] {
        let (entries, _) = read_all(&[&old(), &event_in("Old", local, &[])]);
        assert_eq!(entries[0].0, instant, "{local}");
    }
}

#[test]
fn refuses_rule_in_zone_that_no_zone_follows() {
    let weekly = event_in("Old", "20960708T090000", &["RRULE:FREQ=WEEKLY"]);
    let reason = "it recurs in a time zone that no known zone follows: Old".to_owned();
    assert_eq!(refusal(&calendar(&[&weekly, &old()])), (5, reason));
}

#[test]
fn follows_rule_in_defined_zone() {
    let lines = ["RRULE:FREQ=DAILY", "EXDATE;TZID=Own:20300401T090000"];
    let daily = event_in("Own", "20050101T090000", &lines);
    let entry = only(&calendar(&[&american("Own", "-0800", "-0700"), &daily]));
    assert_eq!(entry.time_zone, "America/Los_Angeles");
    assert_eq!(entry.recurrence, every("FREQ=DAILY", &["2030-04-01T09:00:00"]));
}

#[test]
fn reads_changes_that_end_or_are_listed() {
    // The rule of summer time ended in 2010; since then, the offset is that of winter.
    let ended = definition(
        "Own",
        &[
            &observance(
                "DAYLIGHT",
                ("+0300", "+0400"),
                "19930328T020000",
                "FREQ=YEARLY;UNTIL=20100327T230000Z;BYMONTH=3;BYDAY=-1SU",
            ),
            &observance(
                "STANDARD",
                ("+0400", "+0300"),
                "19961027T030000",
                "FREQ=YEARLY;UNTIL=20101030T230000Z;BYMONTH=10;BYDAY=-1SU",
            ),
            "BEGIN:STANDARD\r\nDTSTART:20110327T020000\r\nTZOFFSETFROM:+0300\r\n\
             TZOFFSETTO:+0400\r\nRDATE:20110327T020000\r\nEND:STANDARD",
            "BEGIN:STANDARD\r\nDTSTART:20141026T020000\r\nTZOFFSETFROM:+0400\r\n\
             TZOFFSETTO:+0300\r\nRDATE:20141026T020000\r\nEND:STANDARD",
        ],
    );
    let daily = event_in("Own", "20960708T090000", &["RRULE:FREQ=DAILY"]);
    let (entries, _) = read_all(&[&ended, &daily]);
    assert_eq!(entries, [("2096-07-08T06:00Z".to_owned(), "Europe/Moscow".to_owned())]);
}

#[test]
fn prefers_known_name_to_definition() {
    let other = observance("STANDARD", ("+0500", "+0500"), "16010101T000000", "");
    for tzid in ["Europe/Berlin", "W. Europe Standard Time"] {
        let event = event_in(tzid, "20960708T090000", &[]);
        let (entries, notes) = read_all(&[&definition(tzid, &[&other]), &event]);
        assert_eq!(entries, [("2096-07-08T07:00Z".to_owned(), "Europe/Berlin".to_owned())]);
        assert_eq!(notes, [] as [String; 0]);
    }
}

#[test]
fn reads_numbered_name_without_definition() {
    let event = event_in("Eastern Standard Time 1", "20960708T140000", &[]);
    let (entries, notes) = read_all(&[&event]);
    assert_eq!(entries, [("2096-07-08T18:00Z".to_owned(), "America/New_York".to_owned())]);
    assert_eq!(notes, ["the time zone Eastern Standard Time 1 is read as America/New_York"]);
}

#[test]
fn refuses_zone_whose_definition_is_malformed() {
    let rule = "FREQ=SECONDLY";
    for observance in [
        observance("STANDARD", ("+0100", "east"), "16010101T000000", ""),
        observance("STANDARD", ("+0100", "+2500"), "16010101T000000", ""),
        observance("STANDARD", ("+0100", "+0100"), "once", ""),
        observance("STANDARD", ("+0100", "+0100"), "16010101T000000", rule),
        observance("STANDARD", ("+0100", "+0100"), "16010101T000000", "FREQ=YEARLY;BYDAY=60SU"),
        String::new(),
    ] {
        let event = event_in("Own", "20960708T090000", &[]);
        let (_, reason) = refusal(&calendar(&[&definition("Own", &[&observance]), &event]));
        assert_eq!(reason, "DTSTART is in an unknown time zone: Own", "{observance}");
    }
}

#[test]
fn reads_floating_times_in_defined_zone_of_calendar() {
    let zone = american("Own", "-0700", "-0600");
    let event = "BEGIN:VEVENT\r\nSUMMARY:Dose\r\nDTSTART:20960708T090000\r\nEND:VEVENT";
    let (entries, _) = read_all(&["X-WR-TIMEZONE:Own", &zone, event]);
    assert_eq!(entries, [("2096-07-08T15:00Z".to_owned(), "America/Denver".to_owned())]);
}

#[test]
fn follows_rule_when_changes_have_no_hours() {
    let [winter, summer] =
        [("STANDARD", ("+0200", "+0100"), 10), ("DAYLIGHT", ("+0100", "+0200"), 3)].map(
            |(kind, offsets, month)| {
                let rule = format!("FREQ=YEARLY;BYDAY=-1SU;BYMONTH={month}");
                observance(kind, offsets, "19700101T000000", &rule)
            },
        );
    let zone = definition("Own", &[&winter, &summer]);
    let daily = event_in("Own", "20960708T090000", &["RRULE:FREQ=DAILY"]);
    let (entries, _) = read_all(&[&zone, &daily]);
    assert_eq!(entries, [("2096-07-08T07:00Z".to_owned(), "Europe/Madrid".to_owned())]);
    // A single entry is at the instant that the definition gives it.
    let single = event_in("Own", "20961028T010000", &[]);
    let (entries, _) = read_all(&[&zone, &single]);
    assert_eq!(entries, [("2096-10-28T00:00Z".to_owned(), "UTC".to_owned())]);
}

#[test]
fn prefers_definition_to_abbreviation_in_name() {
    let event = event_in("Work_EST", "20960708T090000", &[]);
    let (entries, _) = read_all(&[&american("Work_EST", "-0500", "-0400"), &event]);
    assert_eq!(entries, [("2096-07-08T13:00Z".to_owned(), "America/New_York".to_owned())]);
    let (entries, notes) = read_all(&[&event]);
    assert_eq!(entries, [("2096-07-08T14:00Z".to_owned(), "EST".to_owned())]);
    assert_eq!(notes, ["the time zone Work_EST is read as EST"]);
}

#[test]
fn keeps_zone_of_series_for_its_later_instances() {
    let series = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\nDTSTART;TZID=Own:20960708T090000\r\n\
                  RRULE:FREQ=DAILY;COUNT=5\r\nRDATE;TZID=Own:20961208T090000\r\nEND:VEVENT";
    let change = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\nDTSTART;TZID=Own:20960710T100000\r\n\
                  RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Own:20960710T090000\r\nEND:VEVENT";
    let zone = american("Own", "-0700", "-0600");
    let import = read_text(&calendar(&[&zone, series, change]));
    let zones: Vec<_> = import.entries.iter().map(|entry| entry.time_zone.as_str()).collect();
    assert_eq!(zones, ["America/Denver", "America/Denver"], "{import:?}");
    let rdates =
        import.entries.iter().map(|entry| entry.recurrence.clone().expect("a rule").rdates);
    let rdates: Vec<_> = rdates.collect();
    assert_eq!(rdates, [vec![], vec!["2096-12-08T10:00:00".to_owned()]]);
}

#[test]
fn reads_incomplete_definitions() {
    let day = |onset: &str| format!("BEGIN:STANDARD{onset}\r\nTZOFFSETTO:+01\r\nEND:STANDARD");
    for (observances, instant) in [
        (vec![day("")], "2096-07-08T08:00Z"),
        (vec![day("\r\nDTSTART:19700101T000000")], "2096-07-08T08:00Z"),
        (
            vec![
                day("\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"),
                day("\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU").replace("+01", "+2:00"),
            ],
            "2096-07-08T07:00Z",
        ),
    ] {
        let observances: Vec<_> = observances.iter().map(String::as_str).collect();
        let event = event_in("own", "20960708T090000", &[]);
        let (entries, _) = read_all(&[&definition("OWN", &observances), &event]);
        assert_eq!(entries[0].0, instant, "{observances:?}");
    }
    let both = [day(""), day("").replace("+01", "+02")];
    let both = both.each_ref().map(String::as_str);
    let event = event_in("Own", "20960708T090000", &[]);
    refusal(&calendar(&[&definition("Own", &both), &event]));
}

#[test]
fn lists_instants_of_series_that_ends_in_unknown_zone() {
    // Summer time begins on 1 April by the definition.
    let series = |more: &[&str]| event_in("Old", "20960330T090000", more);
    for lines in [["RRULE:FREQ=DAILY;COUNT=4"], ["RRULE:FREQ=DAILY;UNTIL=20960402T130000Z"]] {
        let lines = [lines[0], "EXDATE;TZID=Old:20960331T090000"];
        let entry = only(&calendar(&[&old(), &series(&lines)]));
        let details = entry.details().expect("a reminder");
        let from = at("2096-01-01T00:00:00Z");
        let upcoming = details.schedule.upcoming(from, from, 10);
        let times: Vec<_> =
            upcoming.iter().map(|one| one.at.format("%m-%dT%H:%M").to_string()).collect();
        assert_eq!(times, ["03-30T14:00", "04-01T13:00", "04-02T13:00"], "{lines:?}");
    }
    for rule in ["RRULE:FREQ=DAILY;COUNT=1002", "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2"] {
        refusal(&calendar(&[&old(), &series(&[rule])]));
    }
}
