//! Rules that are refused.

use super::{at, series};
use crate::*;

#[test]
fn refuses_unusable_rules() {
    for never in ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTHDAY=31;BYMONTH=4"] {
        assert_eq!(
            series("2026-05-01T10:00:00Z", "UTC", never).err(),
            Some(Refusal::NeverFires),
            "{never}"
        );
    }
    for often in
        ["FREQ=SECONDLY", "FREQ=MINUTELY;BYSECOND=0,1", "FREQ=DAILY;BYHOUR=9;BYSECOND=0,30"]
    {
        assert_eq!(
            series("2026-05-01T10:00:00Z", "UTC", often).err(),
            Some(Refusal::TooOften),
            "{often}"
        );
    }
    for unsupported in
        ["FREQ=DAILY;COUNT=2;UNTIL=20270101", "FREQ=DAILY;COUNT=10001", "FREQ=DAILY;UNTIL=tomorrow"]
    {
        assert!(
            matches!(
                series("2026-05-01T10:00:00Z", "UTC", unsupported),
                Err(Refusal::Unsupported(_))
            ),
            "{unsupported}"
        );
    }
    for malformed in [
        "",
        "DAILY",
        "FREQ=NEVER",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY\nDTSTART:20200101T000000Z",
    ] {
        assert!(
            matches!(series("2026-05-01T10:00:00Z", "UTC", malformed), Err(Refusal::Malformed(_))),
            "{malformed}"
        );
    }
    assert!(series("2026-05-01T10:00:00Z", "UTC", "FREQ=SECONDLY;INTERVAL=90").is_ok());
}

#[test]
fn names_part_that_rfc_5545_forbids() {
    for (rrule, part) in [
        ("FREQ=WEEKLY;BYDAY=2MO", "BYDAY"),
        ("FREQ=DAILY;BYDAY=1MO", "BYDAY"),
        ("FREQ=HOURLY;BYDAY=-1FR", "BYDAY"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY"),
        ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY"),
        ("FREQ=YEARLY;BYYEARDAY=367", "BYYEARDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO"),
        ("FREQ=YEARLY;BYWEEKNO=0", "BYWEEKNO"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("FREQ=DAILY;BYMINUTE=60", "BYMINUTE"),
        ("FREQ=DAILY;BYSECOND=61", "BYSECOND"),
        ("FREQ=DAILY;WKST=1MO", "WKST"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT"),
        ("FREQ=DAILY;BYEASTER=1", "BYEASTER"),
        ("FREQ=DAILY;BYHOUR=", "BYHOUR"),
        ("FREQ=FORTNIGHTLY", "FREQ"),
        ("INTERVAL=2", "FREQ"),
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule).to_string();
        assert!(refusal.starts_with("rrule: ") && refusal.contains(part), "{rrule}: {refusal}");
    }
}

#[test]
fn refuses_rules_with_endless_search() {
    for rrule in [
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=HOURLY;INTERVAL=168;BYDAY=MO",
        "FREQ=MONTHLY;INTERVAL=2;BYMONTH=2",
        "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=3;BYMINUTE=0;BYSECOND=0;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=3",
        "FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3",
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule);
        assert!(matches!(refusal, Refusal::TooRare | Refusal::NeverFires), "{rrule}: {refusal}");
    }
}

#[test]
fn refuses_rules_over_their_limits() {
    let long = format!("FREQ=DAILY;BYHOUR={}", vec!["10"; 400].join(","));
    for (rrule, problem) in [
        (long.as_str(), "rrule: at most 1000 characters"),
        ("FREQ=DAILY;COUNT=10001", "rrule: COUNT must be between 1 and 10000"),
        ("FREQ=DAILY;COUNT=99999999999999999999", "rrule: COUNT must be between 1 and 10000"),
        ("FREQ=DAILY;INTERVAL=1000000001", "rrule: INTERVAL must be between 1 and 1000000000"),
    ] {
        let refusal = series("2026-05-01T10:00:00Z", "UTC", rrule).expect_err(rrule);
        assert_eq!(refusal.to_string(), problem);
    }
    let excluded = vec!["2026-05-02".to_owned(); 1_001];
    let rule = Rule {
        rrule: "FREQ=DAILY",
        exdates: &excluded,
        rdates: &[],
        gap: Gap::Shift,
        fold: Fold::First,
    };
    let refused =
        Series::new(at("2026-05-01T10:00:00Z"), Zone::parse("UTC").expect("a zone"), rule).err();
    assert_eq!(refused, Some(Refusal::TooManyExclusions));
}

#[test]
fn refuses_counts_that_take_too_long() {
    let rare = "FREQ=MINUTELY;INTERVAL=37;BYHOUR=1;BYMINUTE=5";
    assert!(series("2026-05-01T10:00:00Z", "UTC", &format!("{rare};COUNT=100")).is_ok());
    let counted = series("2026-05-01T10:00:00Z", "UTC", &format!("{rare};COUNT=10000"));
    assert_eq!(counted.err(), Some(Refusal::TooRare));
}
