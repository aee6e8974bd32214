//! Instances of a series that a file names by their day, or by a time at the end of all years.

use super::{
    series::{components, due},
    *,
};

#[test]
fn replaces_instance_that_is_named_by_its_day() {
    let zone = "TZID=Europe/Berlin";
    let text = components(&[
        &[
            &format!("DTSTART;{zone}:20960308T090000"),
            "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=2TH",
            &format!("EXDATE;{zone}:20960510T000000"),
        ],
        &[
            &format!("RECURRENCE-ID;{zone}:20960412T000000"),
            &format!("DTSTART;{zone}:20960411T100000"),
        ],
    ]);
    assert_eq!(due(&text), [["03-08T08:00"], ["04-11T08:00"]]);
    // A series that may have instances at midnight keeps them.
    let hourly = components(&[&[
        "DTSTART:20960604T220000Z",
        "RRULE:FREQ=HOURLY;COUNT=4",
        "EXDATE:20960605T000000",
    ]]);
    assert_eq!(due(&hourly), [["06-04T22:00", "06-04T23:00", "06-05T01:00"]]);
}

/// The definition of the zone differs from each known zone by a minute in 1601 only.
#[test]
fn replaces_instance_that_is_named_by_its_day_in_defined_zone() {
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Custom\r\nBEGIN:STANDARD\r\nDTSTART:16011028T030000\r\n\
                RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nTZOFFSETFROM:+0200\r\n\
                TZOFFSETTO:+0100\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010325T020000\r\n\
                RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\nTZOFFSETFROM:+0101\r\n\
                TZOFFSETTO:+0200\r\nEND:DAYLIGHT\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT";
    let text = components(&[
        &["DTSTART;TZID=Custom:20960308T090000", "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=2TH"],
        &["RECURRENCE-ID;TZID=Custom:20960412T000000", "DTSTART;TZID=Custom:20960411T100000"],
    ]);
    let text = text.replacen("BEGIN:VEVENT", zone, 1);
    assert_eq!(due(&text), [vec!["03-08T08:00", "05-10T07:00"], vec!["04-11T08:00"]]);
}

#[test]
fn leaves_out_exclusion_after_year_9999_in_its_zone() {
    let entry = only(&components(&[&[
        "DTSTART;TZID=Europe/Berlin:20960508T090000",
        "RRULE:FREQ=WEEKLY",
        "EXDATE:99991231T235959Z",
    ]]));
    assert!(entry.recurrence.expect("a rule").exdates.is_empty());
}
