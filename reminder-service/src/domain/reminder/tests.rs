mod due_range;
mod rankings;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    due_date(text).expect("a time")
}

fn offsets(minutes: &[i32]) -> NotifyOffsets {
    NotifyOffsets::from_fields(None, Some(minutes.to_vec())).expect("offsets").expect("given")
}

fn schedule(date: &str, minutes: &[i32]) -> Schedule {
    Schedule::new(at(date), TimeZone::default(), offsets(minutes), None).expect("a schedule")
}

fn details() -> Details {
    Details {
        schedule: schedule("2026-05-01T08:00:00Z", &[0, 60]),
        channels: Channels::default(),
        title: Title::parse("Tablets".to_owned()).expect("a title"),
        message: Message::parse("Two".to_owned()).expect("a message"),
        url: Link::parse("https://example.com/".to_owned()).expect("a link"),
        data: Pairs::parse(BTreeMap::from([("a".to_owned(), "b".to_owned())])).expect("pairs"),
        expires_after: ExpiresAfter::default(),
        priority: Priority::High,
        locale: Some(Locale::parse("pt-BR".to_owned()).expect("a locale")),
    }
}

#[test]
fn finds_next_delivery_strictly_ahead() {
    let schedule = schedule("2026-05-01T08:00:00Z", &[0, 10, 60]);
    for (now, next) in [
        ("2026-05-01T06:00:00Z", Some("2026-05-01T07:00:00Z")),
        ("2026-05-01T07:00:00Z", Some("2026-05-01T07:50:00Z")),
        ("2026-05-01T07:59:59.999Z", Some("2026-05-01T08:00:00Z")),
        ("2026-05-01T08:00:00Z", None),
    ] {
        assert_eq!(
            schedule.schedule().after(at(now)).next().map(|delivery| delivery.at),
            next.map(at),
            "{now}"
        );
    }
}

#[test]
fn keeps_schedule_when_only_offset_changes() {
    let offsets = NotifyOffsets::from_fields(Some(10), None).expect("an offset");
    let changed = details().with(Change { offsets, ..Change::default() }).expect("a change");
    let expected = Details { schedule: schedule("2026-05-01T08:00:00Z", &[10]), ..details() };
    assert_eq!(changed, expected);
}

#[test]
fn keeps_wall_clock_when_only_zone_changes() {
    let zone = |name| Some(TimeZone::parse(name).expect("a zone"));
    for (date, from, to, expected) in [
        ("2096-07-01T08:00:00Z", "Europe/Berlin", "Asia/Tokyo", "2096-07-01T01:00:00Z"),
        // The second of two equal local times, by another name of the same zone.
        ("2026-10-25T01:30:00Z", "Europe/Berlin", "Arctic/Longyearbyen", "2026-10-25T01:30:00Z"),
        // A local time that the new zone skips.
        ("2026-03-29T02:30:00Z", "UTC", "Europe/Berlin", "2026-03-29T01:30:00Z"),
    ] {
        let change = |date, time_zone| Change { date, time_zone, ..Change::default() };
        let before = details()
            .with(change(Some(GivenTime::Instant(at(date))), zone(from)))
            .expect("a schedule");
        let after = before.with(change(None, zone(to))).expect("a change").schedule;
        assert_eq!((after.date, after.time_zone.name()), (at(expected), to), "{date}");
    }
}

#[test]
fn keeps_details_on_empty_change() {
    assert_eq!(details().with(Change::default()), Ok(details()));
}

#[test]
fn removes_optional_details() {
    let change = Change {
        title: Some(None),
        url: Some(None),
        data: Some(Pairs::default()),
        locale: Some(None),
        ..Change::default()
    };
    let changed = details().with(change).expect("a change");
    assert_eq!((changed.title, changed.url, changed.locale), (None, None, None));
    assert!(changed.data.as_map().is_empty());
}

#[test]
fn keeps_instants_to_the_millisecond() {
    for (text, expected) in [
        ("2026-05-01T10:00:00+02:00", "2026-05-01T08:00:00Z"),
        ("2026-05-01T08:00:00.123456789Z", "2026-05-01T08:00:00.123Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
    ] {
        assert_eq!(at(text), at(expected), "{text}");
    }
}

#[test]
fn refuses_times_without_offset_or_out_of_range() {
    for text in [
        "",
        "tomorrow",
        "2026-05-01",
        "2026-05-01T08:00:00",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
    ] {
        assert!(due_date(text).is_err(), "{text}");
    }
}

#[test]
fn checks_form_of_addresses() {
    for text in ["u1@example.com", "a.b+c@sub.example.org", "o'neil@localhost", "jörg@exämple.de"]
    {
        assert!(looks_like_an_address(text), "{text}");
    }
    let long = format!("{}@example.com", "a".repeat(65));
    for text in [
        "",
        "u1",
        "@example.com",
        "u1@",
        "u1@@example.com",
        "u 1@example.com",
        "u1@exa mple.com",
        "u1@.com",
        "u1.@example.com",
        &long,
    ] {
        assert!(!looks_like_an_address(text), "{text}");
    }
}

#[test]
fn accepts_only_public_absolute_links() {
    for text in [
        "https://example.com",
        "HTTP://Example.com/a?b=c#d",
        "http://192.168.1.5:8080/x",
        "https://exämple.de/ü",
        "http://[2001:db8::1]/",
    ] {
        assert_eq!(
            Link::parse(text.to_owned()).map(|link| link.map(Link::into_string)),
            Ok(Some(text.to_owned()))
        );
    }
    for text in [
        "javascript:alert(1)",
        "ftp://example.com",
        "//example.com",
        "example.com",
        "http:example.com",
        "http:///",
        "https://",
        "https://user@example.com",
        "https://user:secret@example.com",
        "https://exam ple.com",
        "https://example.com/\n",
        "https:\\\\example.com",
        "http://169.254.169.254/latest",
        "http://0xa9fea9fe/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://example.com:99999/",
    ] {
        assert!(Link::parse(text.to_owned()).is_err(), "{text}");
    }
}

#[test]
fn reads_no_title_or_link_from_empty_text() {
    assert_eq!((Title::parse(String::new()), Link::parse(String::new())), (Ok(None), Ok(None)));
}

#[test]
fn counts_lengths_in_characters() {
    assert!(Message::parse("ü".repeat(2_000)).is_ok());
    assert!(Message::parse("ü".repeat(2_001)).is_err());
    assert!(Title::parse("ü".repeat(200)).is_ok());
    assert!(Title::parse("ü".repeat(201)).is_err());
}

#[test]
fn checks_form_of_language_tags() {
    for text in ["en", "pt-BR", "zh-Hant-TW", "de-CH-1996", "es-419"] {
        assert!(Locale::parse(text.to_owned()).is_ok(), "{text}");
    }
    for text in ["", "e", "en_US", "en-", "-en", "1e", "en-toolongsubtag", "de\n"] {
        assert!(Locale::parse(text.to_owned()).is_err(), "{text}");
    }
}

fn minutes() -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(0..=40_320, 1..=5)
}

proptest! {
    #[test]
    fn sorts_and_dedups_offsets(given in minutes()) {
        let offsets = offsets(&given);
        prop_assert!(offsets.as_slice().windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(given.iter().all(|offset| offsets.as_slice().contains(offset)));
        prop_assert!(offsets.as_slice().iter().all(|offset| given.contains(offset)));
    }

    #[test]
    fn lists_each_delivery_once_then_completes(given in minutes()) {
        let schedule = schedule("2026-05-01T08:00:00Z", &given);
        let mut now = schedule.date - TimeDelta::days(30);
        let mut deliveries = Vec::new();
        while let Some(next) = schedule.schedule().after(now).next().map(|delivery| delivery.at) {
            prop_assert_eq!(schedule.status(now), Status::Scheduled);
            deliveries.push((schedule.date - next).num_minutes());
            now = next;
        }
        prop_assert_eq!(schedule.status(now), Status::Completed);
        prop_assert_eq!(Some(now), schedule.last_at());
        deliveries.reverse();
        let offsets = schedule.offsets.as_slice().iter().copied().map(i64::from);
        prop_assert_eq!(deliveries, offsets.collect::<Vec<_>>());
    }

    #[test]
    fn parses_any_text_without_panic(text in any::<String>()) {
        let _ = (due_date(&text), TimeZone::parse(&text), looks_like_an_address(&text));
        let _ = Link::parse(text.clone());
        let _ = (Locale::parse(text.clone()), Title::parse(text.clone()));
        if let Ok(message) = Message::parse(text.clone()) {
            prop_assert_eq!(message.as_str(), &text);
            prop_assert!(!text.contains('\0'));
        }
    }

    #[test]
    fn reads_written_instants(
        seconds in -62_135_596_800_i64..253_402_300_800,
        millis in 0_u32..1000,
    ) {
        let instant = DateTime::from_timestamp(seconds, millis * 1_000_000).expect("in range");
        prop_assert_eq!(due_date(&instant.to_rfc3339()), Ok(instant));
    }
}
