use std::collections::BTreeMap;

use super::*;
use crate::{ChangedOccurrence, Channel, FoldPolicy, GapPolicy, Priority};

fn reminder() -> ReminderData {
    ReminderData {
        date: "1955-05-01T09:00:00Z".parse().expect("a time"),
        notify_offsets: vec![0],
        recurrence: None,
        snooze: None,
        acknowledged: None,
        paused: false,
        changed_occurrences: Vec::new(),
        content: NotifyContent {
            channels: vec![Channel::Push],
            title: None,
            message: "Tablets".to_owned(),
            url: None,
            data: BTreeMap::new(),
            priority: Priority::Normal,
            locale: None,
            time_zone: "UTC".to_owned(),
            expires_after_minutes: 60,
        },
    }
}

fn refused(change: impl FnOnce(&mut ReminderData), bounds: &Bounds) -> &'static str {
    let mut data = reminder();
    change(&mut data);
    data.check(bounds).expect_err("out of bounds").field
}

#[test]
fn accepts_every_year_of_rfc_3339() {
    for date in ["0001-01-01T00:00:00Z", "1604-02-29T00:00:00Z", "9999-12-31T23:59:59.999Z"] {
        let data = ReminderData { date: date.parse().expect("a time"), ..reminder() };
        assert_eq!(
            (data.check(&Bounds::REMINDER), data.check(&Bounds::READ)),
            (Ok(()), Ok(())),
            "{date}"
        );
    }
    for date in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(refused(|data| data.date = date, &Bounds::READ), "date");
    }
}

#[test]
fn bounds_changed_occurrences() {
    let date = "2026-05-01T09:00:00Z".parse().expect("a time");
    let changed = |message: String| ChangedOccurrence {
        date,
        title: None,
        message,
        url: None,
        data: BTreeMap::new(),
    };
    let with = |changed_occurrences| ReminderData { changed_occurrences, ..reminder() };
    let full = with(vec![changed("Half".to_owned()); MAX_CHANGED_OCCURRENCES]);
    assert_eq!((full.check(&Bounds::REMINDER), full.check(&Bounds::READ)), (Ok(()), Ok(())));
    let set = |entries: Vec<ChangedOccurrence>| {
        refused(|data| data.changed_occurrences = entries, &Bounds::REMINDER)
    };
    assert_eq!(set(vec![changed("Half".to_owned()); 21]), "changedOccurrences");
    assert_eq!(set(vec![changed("a".repeat(2_001))]), "message");

    let content = reminder().content;
    let of_date = content.clone().of_occurrence(date, &full.changed_occurrences);
    assert_eq!(of_date.message, "Half");
    let other = content.clone().of_occurrence(full.date, &full.changed_occurrences);
    assert_eq!(other, content);
}

#[test]
fn refuses_reminder_out_of_bounds() {
    type Change = fn(&mut ReminderData);
    let changes: [(&str, Change); 8] = [
        ("notifyOffsets", |data| data.notify_offsets = vec![0; 6]),
        ("notifyOffsets", |data| data.notify_offsets = vec![40_321]),
        ("title", |data| data.content.title = Some("😀".repeat(201))),
        ("message", |data| data.content.message = "a".repeat(2_001)),
        ("message", |data| data.content.message = "a\u{fffe}".to_owned()),
        ("url", |data| data.content.url = Some(format!("https://{}", "é".repeat(2_041)))),
        ("expiresAfterMinutes", |data| data.content.expires_after_minutes = 525_601),
        ("data", |data| data.content.data = BTreeMap::from([("k".to_owned(), "v".repeat(2_048))])),
    ];
    for (field, change) in changes {
        assert_eq!(refused(change, &Bounds::REMINDER), field);
    }
}

#[test]
fn reads_commands_of_other_services_within_bounds() {
    let mut data = reminder();
    data.notify_offsets = vec![0; 16];
    data.content.message = "a".repeat(100_000);
    data.content.expires_after_minutes = 0;
    assert_eq!(data.check(&Bounds::READ), Ok(()));
    assert_eq!(
        refused(|data| data.content.message = "a".repeat(200_000), &Bounds::READ),
        "eventData"
    );
    assert_eq!(
        refused(|data| data.content.message = "\u{1}".repeat(40_000), &Bounds::READ),
        "eventData"
    );
    assert_eq!(
        refused(|data| data.content.expires_after_minutes = i32::MAX, &Bounds::READ),
        "expiresAfterMinutes"
    );
    assert_eq!(
        refused(|data| data.content.time_zone = "Mars/Olympus".to_owned(), &Bounds::READ),
        "timeZone"
    );
}

#[test]
fn bounds_listed_dates() {
    let with = |exdates: &[String], rdates: &[String]| {
        let rule = Recurrence {
            rrule: "FREQ=DAILY".to_owned(),
            exdates: exdates.to_vec(),
            rdates: rdates.to_vec(),
            gap: GapPolicy::Shift,
            fold: FoldPolicy::First,
        };
        rule.check().map_err(|refused| refused.field)
    };
    let most = vec!["2026-05-02T10:00:00.123456789+02:00".to_owned(); 1_000];
    assert_eq!(with(&most, &most), Ok(()));
    let long = [format!("2026-05-02T10:00:00.{}Z", "0".repeat(280_000))];
    let many = vec![String::new(); 1_001];
    for dates in [&long[..], &many] {
        assert_eq!(with(dates, &[]), Err("recurrence.exdates"));
        assert_eq!(with(&[], dates), Err("recurrence.rdates"));
    }
}

#[test]
fn leaves_out_listed_dates_while_there_are_none() {
    let read = |text: &str| serde_json::from_str::<Recurrence>(text).expect("a recurrence");
    let plain = serde_json::to_value(read(r#"{"rrule": "FREQ=DAILY"}"#)).expect("JSON");
    assert_eq!(plain.get("rdates"), None, "processes of an earlier version refuse the field");
    let dates = read(r#"{"rrule": "FREQ=DAILY", "rdates": ["2026-05-02"]}"#).rdates;
    assert_eq!(dates, ["2026-05-02"]);
}

#[test]
fn accepts_identity_that_fits_attribute() {
    for text in ["ada", "ada lovelace", "Ä", &"a".repeat(255)] {
        assert!(is_identity(text), "{text}");
    }
    for text in ["", "a\u{ffff}", "a\nb", "a\u{0}", &"a".repeat(256)] {
        assert!(!is_identity(text), "{text:?}");
    }
}
