//! Limits of the time zones that a file defines.

use super::{
    definitions::{OLD, definition, event_in, observance, old},
    *,
};

#[test]
fn bounds_work_for_definitions() {
    let started = std::time::Instant::now();
    // Each calendar has a definition that no zone follows, and an event in it.
    let event = event_in("Old", "20960320T090000", &[]);
    let calendars: String = (0..3_000).map(|_| calendar(&[&old(), &event])).collect();
    let import = read_text(&calendars);
    assert!(import.refused.iter().any(|refused| refused.reason.contains("time zone")));
    // Many observances, and many times that are converted.
    let onsets: Vec<_> = (0..150)
        .map(|n| {
            observance("STANDARD", ("-0400", "-0500"), &format!("{}0101T000000", 1850 + n), "")
        })
        .chain(OLD.map(|(kind, offsets, onset, rule)| observance(kind, offsets, onset, rule)))
        .collect();
    let onsets: Vec<_> = onsets.iter().map(String::as_str).collect();
    let exdates: String =
        (0..20_000).map(|_| "EXDATE;TZID=Old:20960320T090000\r\n".to_owned()).collect();
    let event = format!(
        "BEGIN:VEVENT\r\nSUMMARY:Dose\r\nDTSTART:20960708T090000Z\r\nRRULE:FREQ=DAILY\r\n\
         {exdates}END:VEVENT"
    );
    let import = read_text(&calendar(&[&definition("Old", &onsets), &event]));
    assert_eq!(import.entries.len(), 1);
    assert!(import.notes.iter().any(|note| note.text.contains("too much work")));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn bounds_observances_of_definition() {
    let event = event_in("Own", "20960708T090000", &[]);
    let one = observance("STANDARD", ("+0100", "+0200"), "20000101T000000", "");
    let rdates = format!("RDATE:{}", vec!["20010101T000000"; 1_000].join(","));
    let crowded = one.replace("END:", &format!("{rdates}\r\nEND:"));
    for (observances, is_read) in [
        (vec![one.as_str(); 200], true),
        (vec![one.as_str(); 201], false),
        (vec![crowded.as_str()], false),
    ] {
        let import = read_text(&calendar(&[&definition("Own", &observances), &event]));
        assert_eq!(import.refused.is_empty(), is_read, "{} observances", observances.len());
    }
}
