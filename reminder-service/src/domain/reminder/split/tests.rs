use contract::Priority;
use uuid::Uuid;

use super::*;
use crate::domain::reminder::{
    Channels, ExpiresAfter, Fold, GivenTime, Message, NotifyOffsets, Pairs, TextChange, Texts,
    TimeZone, Title, due_date,
};

const NOW: &str = "2096-01-01T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    due_date(text).expect("a time")
}

fn rule(rrule: &str) -> Recurrence {
    let (exdates, rdates, gap, fold) = Default::default();
    Recurrence { rrule: rrule.to_owned(), exdates, rdates, gap, fold }
}

/// A reminder with a rule in Berlin.
fn series(date: &str, rule: Recurrence) -> Reminder {
    let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
    let offsets = NotifyOffsets::default();
    let details = Details {
        schedule: Schedule::new(at(date), zone, offsets, Some(rule)).expect("a schedule"),
        channels: Channels::default(),
        title: None,
        message: Message::parse("Tablets".to_owned()).expect("a message"),
        url: None,
        data: Pairs::default(),
        expires_after: ExpiresAfter::default(),
        priority: Priority::default(),
        locale: None,
    };
    Reminder::new(Uuid::nil(), Following { details, changed_occurrences: Vec::new() })
}

/// Change of the texts, and of the date if there is one.
fn change(date: Option<&str>) -> OccurrenceEdit {
    let date = date.map(|date| GivenTime::parse("date", date).expect("a time"));
    let message = Message::parse("Half".to_owned()).ok();
    OccurrenceEdit::Change { date, texts: TextChange { message, ..TextChange::default() } }
}

fn split(series: &Reminder, occurrence: &str, edit: &OccurrenceEdit) -> (Reminder, Following) {
    let (before, following) = series.split(at(occurrence), edit, at(NOW)).expect("a split");
    (before, following.expect("a new reminder"))
}

fn refused(series: &Reminder, occurrence: &str, date: Option<&str>) -> EditRefusal {
    series.split(at(occurrence), &change(date), at(NOW)).expect_err("refused")
}

fn rrule(schedule: &Schedule) -> &str {
    schedule.recurrence.as_ref().map_or("", |rule| &rule.rrule)
}

fn occurrences(schedule: &Schedule) -> Vec<DateTime<Utc>> {
    schedule.schedule().occurrences_after(DateTime::<Utc>::MIN_UTC).take(200).collect()
}

#[test]
fn divides_count_lists_and_texts() {
    let lists = Recurrence {
        exdates: vec!["2096-05-02T09:00:00".to_owned(), "2096-05-07".to_owned()],
        rdates: vec!["2096-05-03T20:00:00".to_owned(), "2096-07-01T18:00:00Z".to_owned()],
        ..rule("FREQ=DAILY;COUNT=10")
    };
    let daily = series("2096-05-01T07:00:00Z", lists);
    let (before, following) = split(&daily, "2096-05-06T07:00:00Z", &change(None));

    assert_eq!(rrule(&before.details.schedule), "FREQ=DAILY;UNTIL=20960506T065959Z");
    assert_eq!(rrule(&following.details.schedule), "FREQ=DAILY;COUNT=5");
    let all = [occurrences(&before.details.schedule), occurrences(&following.details.schedule)];
    assert_eq!(all.concat(), occurrences(&daily.details.schedule));
    assert_eq!(all[1].len(), 5, "the first, three after the excluded day, and the extra date");
    assert_eq!(following.details.message.as_str(), "Half");
    assert_eq!(before.details.message.as_str(), "Tablets");
}

#[test]
fn keeps_every_occurrence_of_any_rule() {
    for text in [
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;COUNT=40",
        "RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20980101T000000Z",
        "UNTIL=21051231;FREQ=YEARLY;BYMONTH=1,7;BYSETPOS=1;BYDAY=MO",
        "FREQ=HOURLY;INTERVAL=5;COUNT=150",
        "FREQ=MONTHLY;BYMONTHDAY=31",
    ] {
        let whole = series("2096-05-01T07:00:00Z", rule(text));
        let all = occurrences(&whole.details.schedule);
        for place in [1, 2, 3] {
            let occurrence = all[place].to_rfc3339();
            let (before, following) = split(&whole, &occurrence, &change(None));
            let parts =
                [occurrences(&before.details.schedule), occurrences(&following.details.schedule)];
            let both: Vec<_> = parts.concat().into_iter().take(all.len()).collect();
            assert_eq!(both, all, "{text} at {occurrence}");
        }
    }
}

#[test]
fn counts_repeated_time_once() {
    let both = Recurrence { fold: Fold::Both, ..rule("FREQ=DAILY;COUNT=5") };
    let nightly = series("2096-10-26T00:30:00Z", both);
    let (before, following) = split(&nightly, "2096-10-29T01:30:00Z", &change(None));
    assert_eq!(rrule(&following.details.schedule), "FREQ=DAILY;COUNT=2");
    assert_eq!(occurrences(&before.details.schedule).len(), 4);
}

#[test]
fn splits_series_at_each_of_repeated_times() {
    for count in ["", ";COUNT=9"] {
        let both = Recurrence { fold: Fold::Both, ..rule(&format!("FREQ=DAILY{count}")) };
        let nightly = series("2096-10-26T00:30:00Z", both);
        let all = occurrences(&nightly.details.schedule);
        for place in [2, 3, 4] {
            let (before, following) = split(&nightly, &all[place].to_rfc3339(), &change(None));
            assert_eq!(occurrences(&before.details.schedule), all[..place]);
            let following = occurrences(&following.details.schedule);
            let shown = following.len().min(all.len() - place);
            assert_eq!(following[..shown], all[place..][..shown], "{count} at {}", all[place]);
        }
    }
}

#[test]
fn moves_following_occurrences_with_lists_and_end() {
    let lists = Recurrence {
        exdates: vec!["2096-05-04T09:00:00".to_owned()],
        rdates: vec!["2096-05-20T07:00:00Z".to_owned()],
        ..rule("FREQ=DAILY;UNTIL=20960506T070000Z")
    };
    let daily = series("2096-05-01T07:00:00Z", lists);
    let (_, following) =
        split(&daily, "2096-05-03T07:00:00Z", &change(Some("2096-05-03T21:30:00")));
    let expected = ["05-03", "05-05", "05-06", "05-20"];
    let expected = expected.map(|day| at(&format!("2096-{day}T19:30:00Z")));
    assert_eq!(occurrences(&following.details.schedule), expected);
}

#[test]
fn ends_series_when_rest_is_skipped() {
    let daily = series("2096-05-01T07:00:00Z", rule("FREQ=DAILY"));
    let (before, following) =
        daily.split(at("2096-05-03T07:00:00Z"), &OccurrenceEdit::Skip, at(NOW)).expect("a split");
    assert_eq!((occurrences(&before.details.schedule).len(), following), (2, None));
}

#[test]
fn refuses_split_that_changes_series() {
    let daily = series("2096-05-01T07:00:00Z", rule("FREQ=DAILY"));
    assert_eq!(refused(&daily, "2096-05-01T07:00:00Z", None), EditRefusal::First);
    assert!(matches!(refused(&daily, "2096-05-02T08:00:00Z", None), EditRefusal::Missing(_)));
    let begun = series("2095-12-01T08:00:00Z", rule("FREQ=DAILY"));
    assert_eq!(refused(&begun, "2095-12-31T08:00:00Z", None), EditRefusal::Passed);
    // A time of day that a gap shifted.
    let nightly = series("2096-03-24T01:30:00Z", rule("FREQ=DAILY"));
    assert_eq!(refused(&nightly, "2096-03-25T01:30:00Z", None), EditRefusal::Unsplittable);
    let weekly = series("2096-05-07T07:00:00Z", rule("FREQ=WEEKLY;BYDAY=MO"));
    let tuesday = Some("2096-05-15T09:00:00");
    assert_eq!(refused(&weekly, "2096-05-14T07:00:00Z", tuesday), EditRefusal::NotOfRule);
    let past = Some("2095-05-15T09:00:00");
    assert_eq!(refused(&weekly, "2096-05-14T07:00:00Z", past), EditRefusal::NoDeliveryAhead);
}

#[test]
fn changes_texts_of_named_occurrence() {
    let mut series = series("2096-07-02T06:00:00Z", rule("FREQ=DAILY"));
    let own = |date: &str| ChangedOccurrence {
        date: at(date),
        texts: Texts {
            title: Title::parse("Own".to_owned()).expect("a title"),
            message: Message::parse("Own".to_owned()).expect("a message"),
            url: None,
            data: Pairs::default(),
        },
    };
    let [named, later] = ["2096-07-04T06:00:00Z", "2096-07-06T06:00:00Z"];
    series.changed_occurrences = vec![own(named), own(later)];
    let (before, following) = split(&series, named, &change(None));
    assert_eq!(before.changed_occurrences, []);
    let texts: Vec<_> = following
        .changed_occurrences
        .iter()
        .map(|changed| (changed.date, changed.texts.message.as_str()))
        .collect();
    assert_eq!(texts, [(at(named), "Half"), (at(later), "Own")]);
}
