//! Series in a time zone that the file defines and no known zone follows: a reminder cannot follow
//! its rule, but the instances of a rule that ends can be dates.

use contract::{FoldPolicy, GapPolicy, Recurrence};

use super::{
    Problem,
    component::Component,
    property::Property,
    recurring::{Clock, Dates, MAX_LISTED_DATES, ONLY_START, local_time, rules},
    rule::RuleText,
    shown,
    times::Stamp,
    zones::{Definition, EntryZones},
};

/// Reads the recurrence of an entry that has a rule and starts in such a zone; `clock` is in UTC.
///
/// # Errors
/// If its rule has no end, or cannot be listed.
pub(super) fn read(
    component: &Component,
    start: &Property,
    definition: &Definition,
    clock: Clock,
    zones: &EntryZones<'_>,
    left_out: &mut Vec<(usize, String)>,
) -> Result<(Recurrence, Clock), Problem> {
    let zone = start.parameter("TZID").unwrap_or_default();
    let unknown = || {
        let reason =
            format!("it recurs in a time zone that no known zone follows: {}", shown(zone));
        Problem::new(start.line, reason)
    };
    let mut rules = rules(component);
    let (Some(rule), None, None) = (rules.next(), rules.next(), component.one("EXRULE")) else {
        return Err(unknown());
    };
    let rule =
        RuleText::read(&rule.value, clock).map_err(|reason| Problem::new(rule.line, reason))?;
    let mut rdates = Dates::read("RDATE", component, clock, zones, left_out)?;
    let instants = instants(&rule, start, definition, zones).ok_or_else(unknown)?;
    if !rdates.add_all(instants.into_iter()) {
        return Err(unknown());
    }
    let exdates = Dates::read("EXDATE", component, clock, zones, left_out)?.into_texts();
    let (rrule, rdates) = (ONLY_START.to_owned(), rdates.into_texts());
    let (gap, fold) = (GapPolicy::default(), FoldPolicy::default());
    Ok((Recurrence { rrule, exdates, rdates, gap, fold }, clock))
}

/// The instances after the start as instants; `None` if there are too many, or the start is none.
fn instants(
    rule: &RuleText,
    start: &Property,
    definition: &Definition,
    zones: &EntryZones<'_>,
) -> Option<Vec<String>> {
    let Stamp::Local(start) = Stamp::parse(&start.value)? else { return None };
    let rule = match rule.part("UNTIL").and_then(Stamp::parse) {
        Some(Stamp::Utc(at)) => {
            let until = definition.local(at)?.format("%Y%m%dT%H%M%S").to_string();
            rule.clone().with("UNTIL", until)
        }
        _ => rule.clone(),
    };
    let is_listed = rule.ends() && zones.can_expand_rule();
    let utc = time_zone::Zone::UTC;
    let instances =
        is_listed.then(|| rule.instances(start, utc, None, MAX_LISTED_DATES)).flatten()?;
    let (first, others) = instances.split_first()?;
    let instants = others.iter().map(|local| {
        let at = zones.can_convert_by(definition).then(|| definition.instant(*local)).flatten()?;
        Some(local_time(at.naive_utc()))
    });
    if *first == start { instants.collect() } else { None }
}
