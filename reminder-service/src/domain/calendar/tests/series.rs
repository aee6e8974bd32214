//! Several rules, exclusions by rules, and changes of instances.

use super::*;

/// Components of one series, with a line for each property.
pub(super) fn components(parts: &[&[&str]]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|lines| {
            format!("BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\n{}\r\nEND:VEVENT", lines.join("\r\n"))
        })
        .collect();
    calendar(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Due times from 2096 on of the reminders that a file becomes, each in UTC, at most ten of each.
pub(super) fn due(text: &str) -> Vec<Vec<String>> {
    let import = read_text(text);
    assert_eq!(import.refused, []);
    import.entries.iter().map(times).collect()
}

fn times(entry: &Entry) -> Vec<String> {
    let details = entry.details().expect("a reminder");
    let from = at("2096-01-01T00:00:00Z");
    let upcoming = details.schedule.upcoming(from, from, 10).into_iter();
    upcoming.map(|occurrence| occurrence.at.format("%m-%dT%H:%M").to_string()).collect()
}

fn rule(lines: &[&str]) -> String {
    let lines = [&["DTSTART;TZID=Europe/Berlin:20960604T090000"], lines].concat();
    only(&event(&lines)).recurrence.expect("a rule").rrule
}

#[test]
fn joins_rules_that_differ_in_one_list() {
    for (rules, joined) in [
        (["FREQ=WEEKLY;BYDAY=MO", "FREQ=WEEKLY;BYDAY=MO,TH"], "FREQ=WEEKLY;BYDAY=MO,TH"),
        (["FREQ=WEEKLY", "FREQ=WEEKLY;INTERVAL=1;BYDAY=TH"], "FREQ=WEEKLY;BYDAY=MO,TH"),
        (["FREQ=DAILY;BYHOUR=8", "BYHOUR=20;FREQ=DAILY"], "FREQ=DAILY;BYHOUR=8,20"),
        (
            ["FREQ=MONTHLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYMONTHDAY=15"],
            "FREQ=MONTHLY;BYMONTHDAY=1,15",
        ),
        (["FREQ=DAILY", "FREQ=DAILY"], "FREQ=DAILY"),
    ] {
        let lines = rules.map(|rule| format!("RRULE:{rule}"));
        assert_eq!(rule(&lines.each_ref().map(String::as_str)), joined, "{rules:?}");
    }
}

#[test]
fn refuses_rules_that_cannot_be_joined() {
    for rules in [
        ["FREQ=DAILY", "FREQ=WEEKLY"],
        ["FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "FREQ=WEEKLY;BYDAY=TU"],
        ["FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1", "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=1"],
        ["FREQ=MONTHLY;BYDAY=1MO;BYMONTH=1", "FREQ=MONTHLY;BYDAY=1TU;BYMONTH=2"],
    ] {
        let lines = rules.map(|rule| format!("RRULE:{rule}"));
        let text = event(&["DTSTART:20960604T090000Z", &lines.join("\r\n")]);
        let reason = "it has several rules (RRULE) that one rule cannot express".to_owned();
        assert_eq!(refusal(&text), (8, reason), "{rules:?}");
    }
}

#[test]
fn leaves_out_weekdays_of_excluding_rule() {
    for (rules, left) in [
        (["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SA,SU"], "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR"),
        (
            ["FREQ=WEEKLY;BYDAY=MO,TU;UNTIL=20970101", "FREQ=DAILY;BYDAY=TU"],
            "FREQ=WEEKLY;BYDAY=MO;UNTIL=20970101",
        ),
        (["FREQ=WEEKLY;BYDAY=MO,TU", "FREQ=WEEKLY"], "FREQ=WEEKLY;BYDAY=TU"),
    ] {
        let lines = [format!("RRULE:{}", rules[0]), format!("EXRULE:{}", rules[1])];
        assert_eq!(rule(&lines.each_ref().map(String::as_str)), left, "{rules:?}");
    }
}

#[test]
fn lists_exclusions_when_a_rule_ends() {
    let start = "DTSTART:20960604T090000Z";
    for (rules, expected) in [
        (
            ["RRULE:FREQ=DAILY", "EXRULE:FREQ=DAILY;INTERVAL=2;COUNT=2"],
            vec!["2096-06-04T09:00:00", "2096-06-06T09:00:00"],
        ),
        (
            ["RRULE:FREQ=DAILY;COUNT=4", "EXRULE:FREQ=DAILY;INTERVAL=3"],
            vec!["2096-06-04T09:00:00", "2096-06-07T09:00:00"],
        ),
    ] {
        let entry = only(&event(&[start, rules[0], rules[1]]));
        assert_eq!(entry.recurrence.expect("a rule").exdates, expected, "{rules:?}");
    }
    let endless = ["RRULE:FREQ=MONTHLY", "EXRULE:FREQ=YEARLY"];
    let (_, reason) = refusal(&event(&[start, endless[0], endless[1]]));
    assert!(reason.contains("EXRULE"), "{reason}");
}

#[test]
fn notes_exclusions_without_a_rule() {
    let import = read_text(&event(&[
        "DTSTART:20960604T090000Z",
        "EXDATE:20960604T090000Z",
        "EXRULE:FREQ=DAILY",
    ]));
    assert_eq!(import.entries.len(), 1);
    let texts = ["EXDATE", "EXRULE"]
        .map(|name| format!("{name} was left out: the entry has no rule (RRULE)"));
    assert_eq!(import.notes, [note(7, "1", &texts[0]), note(8, "1", &texts[1])]);
}

const WEEKLY: [&str; 2] = ["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=5"];
const RANGE: &str = "RECURRENCE-ID;RANGE=THISANDFUTURE:20960618T090000Z";

#[test]
fn splits_series_at_change_of_later_instances() {
    let change = [RANGE, "DTSTART:20960618T110000Z"];
    for parts in [[&WEEKLY[..], &change[..]], [&change[..], &WEEKLY[..]]] {
        let mut due = due(&components(&parts));
        due.sort();
        assert_eq!(
            due,
            [vec!["06-04T09:00", "06-11T09:00"], vec!["06-18T11:00", "06-25T11:00", "07-02T11:00"],]
        );
    }
    let import = read_text(&components(&[&WEEKLY, &change]));
    let [first, second] = &import.entries[..] else { panic!("{import:?}") };
    assert_eq!(
        (first.instance.as_deref(), second.instance.as_deref()),
        (None, Some("2096-06-18T09:00:00"))
    );
    assert_eq!(second.recurrence, every("FREQ=WEEKLY;COUNT=3", &[]));
}

#[test]
fn moves_rule_with_change_of_later_instances() {
    let zone = "TZID=Europe/Berlin";
    let start = format!("DTSTART;{zone}:20960604T230000");
    let id = format!("RECURRENCE-ID;RANGE=THISANDFUTURE;{zone}:20960611T230000");
    for (rrule, to, expected) in [
        // An hour and a half later is the next day.
        ("FREQ=WEEKLY;BYDAY=MO,WE", "20960612T003000", Some("FREQ=WEEKLY;BYDAY=TU,TH")),
        (
            "FREQ=WEEKLY;UNTIL=20960702T210000Z",
            "20960612T003000",
            Some("FREQ=WEEKLY;UNTIL=20960702T223000Z"),
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=4,11", "20960611T080000", Some("FREQ=MONTHLY;BYMONTHDAY=4,11")),
        ("FREQ=MONTHLY;BYMONTHDAY=4,11", "20960612T080000", None),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "20960612T080000", None),
    ] {
        let rrule = format!("RRULE:{rrule}");
        let to = format!("DTSTART;{zone}:{to}");
        let import = read_text(&components(&[&[&start, &rrule], &[&id, &to]]));
        let rules: Vec<_> = import
            .entries
            .iter()
            .map(|entry| entry.recurrence.as_ref().expect("a rule").rrule.as_str())
            .collect();
        match expected {
            Some(expected) => assert_eq!(rules[1], expected, "{import:?}"),
            None => {
                assert_eq!(rules, [rrule.trim_start_matches("RRULE:")], "unchanged");
                assert!(import.refused[0].reason.contains("RANGE"), "{import:?}");
            }
        }
    }
}

#[test]
fn takes_rule_of_change_of_later_instances() {
    let change = [RANGE, "DTSTART:20960618T110000Z", "RRULE:FREQ=DAILY;COUNT=2"];
    assert_eq!(
        due(&components(&[&WEEKLY, &change])),
        [vec!["06-04T09:00", "06-11T09:00"], vec!["06-18T11:00", "06-19T11:00"]]
    );
}

#[test]
fn ends_series_when_later_instances_are_cancelled() {
    let change = [RANGE, "DTSTART:20960618T090000Z", "STATUS:CANCELLED"];
    assert_eq!(due(&components(&[&WEEKLY, &change])), [["06-04T09:00", "06-11T09:00"]]);
}

#[test]
fn replaces_instances_of_each_part() {
    let second = "RECURRENCE-ID;RANGE=THISANDFUTURE:20960702T090000Z";
    let text = components(&[
        &["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;COUNT=6", "EXDATE:20960625T090000Z"],
        &[second, "DTSTART:20960702T150000Z"],
        &[RANGE, "DTSTART:20960618T110000Z"],
        &["RECURRENCE-ID:20960611T090000Z", "DTSTART:20960611T100000Z"],
        &["RECURRENCE-ID:20960709T090000Z", "STATUS:CANCELLED", "DTSTART:20960709T090000Z"],
    ]);
    let mut due = due(&text);
    due.sort();
    assert_eq!(
        due,
        [vec!["06-04T09:00"], vec!["06-11T10:00"], vec!["06-18T11:00"], vec!["07-02T15:00"]]
    );
}

#[test]
fn replaces_whole_series_from_its_start() {
    let id = "RECURRENCE-ID;RANGE=THISANDFUTURE:20960604T090000Z";
    let text = components(&[&WEEKLY, &[id, "DTSTART:20960604T100000Z"]]);
    let import = read_text(&text);
    assert_eq!((import.entries.len(), import.refused.len()), (1, 0), "{import:?}");
    assert_eq!(import.entries[0].recurrence, every("FREQ=WEEKLY;COUNT=5", &[]));
}

#[test]
fn splits_series_of_whole_days() {
    let text = components(&[
        &["DTSTART;VALUE=DATE:20960604", "RRULE:FREQ=DAILY;UNTIL=20960607"],
        &[
            "RECURRENCE-ID;VALUE=DATE;RANGE=THISANDFUTURE:20960606",
            "DTSTART;VALUE=DATE:20960606",
            "DESCRIPTION:More",
        ],
    ]);
    assert_eq!(due(&text), [["06-04T07:00", "06-05T07:00"], ["06-06T07:00", "06-07T07:00"]]);
    assert_eq!(read_text(&text).entries[1].message, "More");
}

#[test]
fn notes_change_without_its_series() {
    let import = read_text(&components(&[&[RANGE, "DTSTART:20960618T110000Z"]]));
    assert_eq!(import.entries.len(), 1);
    let text = "its series is not in the file: of the later instances (RANGE), only this one is \
                imported";
    assert_eq!(import.notes, [note(3, "1", text)]);
    let prior = RANGE.replace("THISANDFUTURE", "THISANDPRIOR");
    let (_, reason) = refusal(&components(&[&[&prior, "DTSTART:20960618T110000Z"]]));
    assert!(reason.contains("RANGE"), "{reason}");
}

#[test]
fn splits_a_bounded_number_of_times() {
    let day =
        |n: i64| (at("2096-06-04T09:00:00Z") + chrono::TimeDelta::days(n)).format("%Y%m%dT%H%M%SZ");
    let changes: String = (1..=120)
        .map(|n| {
            format!(
                "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\nDTSTART:{0}\r\n\
                 RECURRENCE-ID;RANGE=THISANDFUTURE:{0}\r\nEND:VEVENT\r\n",
                day(n)
            )
        })
        .collect();
    let series = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dose\r\nDTSTART:20960604T090000Z\r\n\
                  RRULE:FREQ=DAILY;COUNT=10000\r\nEND:VEVENT";
    let import = read_text(&calendar(&[series, changes.trim_end()]));
    assert_eq!((import.entries.len(), import.refused.len()), (101, 20));
    assert!(import.refused[0].reason.contains("more than 100 times"));
}

#[test]
fn adds_instances_of_rule_that_ends() {
    let text = components(&[&[
        "DTSTART:20960604T090000Z",
        "RRULE:FREQ=DAILY;INTERVAL=10;COUNT=3",
        "RRULE:FREQ=WEEKLY;UNTIL=20960615T000000Z",
    ]]);
    assert_eq!(due(&text), [["06-04T09:00", "06-11T09:00", "06-14T09:00", "06-24T09:00"]]);
    let endless = components(&[&[
        "DTSTART:20960604T090000Z",
        "RRULE:FREQ=DAILY;COUNT=2",
        "RRULE:FREQ=MONTHLY",
    ]]);
    let entry = only(&endless);
    let recurrence = entry.recurrence.expect("a rule");
    assert_eq!(recurrence.rrule, "FREQ=MONTHLY");
    assert_eq!(recurrence.rdates, ["2096-06-04T09:00:00", "2096-06-05T09:00:00"]);
}

#[test]
fn splits_dates_beside_a_rule() {
    let text = components(&[
        &[
            "DTSTART:20960604T090000Z",
            "RRULE:FREQ=WEEKLY;COUNT=3",
            "RDATE:20960605T120000Z,20960620T120000Z",
        ],
        &[RANGE, "DTSTART:20960618T100000Z"],
    ]);
    assert_eq!(
        due(&text),
        [vec!["06-04T09:00", "06-05T12:00", "06-11T09:00"], vec!["06-18T10:00", "06-20T13:00"],]
    );
}

#[test]
fn refuses_more_rules_than_are_read() {
    for (name, most) in [("RRULE", 20), ("EXRULE", 20)] {
        let rules = |count: usize| {
            let rules: Vec<_> =
                (0..count).map(|_| format!("{name}:FREQ=WEEKLY;BYDAY=TU;COUNT=5")).collect();
            let start = ["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=5"];
            let kept = if name == "RRULE" { &start[..1] } else { &start[..] };
            event(&[kept.join("\r\n").as_str(), &rules.join("\r\n")])
        };
        assert_eq!(read_text(&rules(most)).refused, [], "{name}");
        let (_, reason) = refusal(&rules(most + 1));
        assert_eq!(reason, format!("it has more than 20 rules ({name})"));
    }
}

#[test]
fn lists_instances_of_a_bounded_number_of_rules() {
    let event = "BEGIN:VEVENT\r\nSUMMARY:Dose\r\nDTSTART:20960604T090000Z\r\nRRULE:FREQ=MONTHLY\r\n\
                 RRULE:FREQ=DAILY;COUNT=1000\r\nEND:VEVENT\r\n";
    let import = read_text(&calendar(&[event.repeat(1_100).trim_end()]));
    assert_eq!((import.entries.len(), import.refused.len()), (1_000, 100));
}

#[test]
fn excludes_dates_beside_a_rule_by_rule() {
    let start = ["DTSTART:20960604T090000Z", "RRULE:FREQ=WEEKLY", "RDATE:20960609T090000Z"];
    let of_count = event(&[&start.join("\r\n"), "EXRULE:FREQ=DAILY;INTERVAL=5;COUNT=3"]);
    let exdates = only(&of_count).recurrence.expect("a rule").exdates;
    assert_eq!(exdates, ["2096-06-04T09:00:00", "2096-06-09T09:00:00", "2096-06-14T09:00:00"]);
    let (line, _) = refusal(&event(&[&start.join("\r\n"), "EXRULE:FREQ=WEEKLY;BYDAY=SA"]));
    assert_eq!(line, 9);
}

#[test]
fn keeps_time_of_day_when_start_is_in_gap() {
    let berlin = "DTSTART;TZID=Europe/Berlin:20960325T023000";
    for (rule, more, expected) in [
        ("FREQ=DAILY;COUNT=3", "", &["03-25T01:30", "03-26T00:30", "03-27T00:30"][..]),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=2", "", &["03-25T01:30", "04-08T00:30"]),
        // The start is no instance.
        ("FREQ=WEEKLY;BYDAY=MO;COUNT=2", "", &["03-26T00:30", "04-02T00:30"]),
        ("FREQ=DAILY;COUNT=2", "EXDATE;TZID=Europe/Berlin:20960325T023000", &["03-26T00:30"]),
        ("FREQ=DAILY;COUNT=1", "", &["03-25T01:30"]),
    ] {
        let lines = [berlin, &format!("RRULE:{rule}"), more];
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(times(&only(&event(&lines))), expected, "{rule} {more}");
    }
}

#[test]
fn keeps_midnight_when_first_day_has_none() {
    let event = event(&[
        "DTSTART;VALUE=DATE:20960902",
        "RRULE:FREQ=DAILY;COUNT=2",
        "BEGIN:VALARM\r\nTRIGGER:PT0S\r\nEND:VALARM",
    ]);
    let entry = read(event.as_bytes(), "America/Santiago".parse::<Zone>().expect("a zone"));
    assert_eq!(times(&entry.entries[0]), ["09-02T04:00", "09-03T03:00"]);
}
