//! A request for a preview, and its changes.

use std::{collections::BTreeMap, fmt};

use recurrence::{Fold, Gap};

use crate::chance::Chance;

const FREQUENCIES: [&str; 7] =
    ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"];
const INTERVALS: [u64; 22] = [
    1,
    1,
    1,
    2,
    7,
    13,
    23,
    24,
    37,
    59,
    60,
    61,
    365,
    719,
    1_439,
    1_440,
    5_039,
    10_079,
    75_931,
    86_399,
    9_999_991,
    1_000_000_000,
];
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Gaza",
    "Antarctica/Troll",
];
const STARTS: [&str; 6] = [
    "0001-01-01T00:00:00Z",
    "1601-01-01T03:00:00Z",
    "1996-02-29T01:30:00.5Z",
    "2026-03-28T01:30:00Z",
    "2026-10-24T00:30:00Z",
    "2096-12-31T23:59:59Z",
];
const FROMS: [&str; 5] = [
    "0001-01-01T00:00:00Z",
    "2026-03-28T00:00:00Z",
    "2026-10-25T00:00:00Z",
    "2400-02-28T00:00:00Z",
    "9990-01-01T00:00:00Z",
];
const ENDS: [&str; 9] = [
    "",
    "",
    ";COUNT=1",
    ";COUNT=100",
    ";COUNT=2000",
    ";COUNT=10000",
    ";UNTIL=20270101",
    ";UNTIL=23000101T000000Z",
    ";UNTIL=99991231T235959",
];
/// Parts that are lists of numbers: the least, the largest, and whether they may be negative.
const LISTS: [(&str, i64, i64, bool); 8] = [
    ("BYMONTH", 1, 12, false),
    ("BYWEEKNO", 1, 53, true),
    ("BYYEARDAY", 1, 366, true),
    ("BYMONTHDAY", 1, 31, true),
    ("BYHOUR", 0, 23, false),
    ("BYMINUTE", 0, 59, false),
    ("BYSECOND", 0, 59, false),
    ("BYSETPOS", 1, 366, true),
];
const WEEKDAYS: [&str; 9] = [
    "MO",
    "FR",
    "SA,SU",
    "MO,TU,WE,TH,FR",
    "MO,TU,WE,TH,FR,SA,SU",
    "1MO",
    "-1FR",
    "5MO,-5SU",
    "53SU",
];
const OFFSETS: [&[i32]; 5] = [
    &[0],
    &[0, 1_440],
    &[0, 1, 2, 3, 4],
    &[0, 60, 120, 180, 240],
    &[1, 1_440, 10_080, 20_160, 40_320],
];

/// Kind of the entries of a list of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Occurrences of the rule, as instants.
    Occurrences,
    /// Occurrences of the rule, as days.
    Days,
    /// Local times, one for each day from the start on.
    Times,
    /// Instants in the longest form.
    Long,
}

/// List of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entries: Entries,
    pub(crate) number: usize,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    frequency: &'static str,
    interval: u64,
    parts: BTreeMap<&'static str, String>,
    end: &'static str,
    pub(crate) exdates: Listed,
    pub(crate) rdates: Listed,
    pub(crate) offsets: &'static [i32],
    pub(crate) zone: &'static str,
    pub(crate) gap: Gap,
    pub(crate) fold: Fold,
    pub(crate) start: &'static str,
    pub(crate) from: &'static str,
    pub(crate) limit: usize,
}

impl Default for Candidate {
    fn default() -> Self {
        let none = Listed { entries: Entries::Days, number: 0 };
        Self {
            frequency: "DAILY",
            interval: 1,
            parts: BTreeMap::new(),
            end: "",
            exdates: none,
            rdates: none,
            offsets: &[0],
            zone: "UTC",
            gap: Gap::Shift,
            fold: Fold::First,
            start: STARTS[3],
            from: FROMS[1],
            limit: 100,
        }
    }
}

impl Candidate {
    pub(crate) fn random(chance: &mut Chance) -> Self {
        let mut candidate = Self::default();
        for _ in 0..12 {
            candidate.change(chance);
        }
        candidate
    }

    /// The request with one or two changes.
    pub(crate) fn changed(&self, chance: &mut Chance) -> Self {
        let mut changed = self.clone();
        changed.change(chance);
        if chance.once_in(3) {
            changed.change(chance);
        }
        changed
    }

    fn change(&mut self, chance: &mut Chance) {
        match chance.below(16) {
            0 | 1 => self.frequency = chance.one_of(&FREQUENCIES),
            2 | 3 => self.interval = interval(chance),
            4..=7 => self.change_list(chance),
            8 => {
                self.parts.remove("BYDAY");
                if !chance.once_in(3) {
                    self.parts.insert("BYDAY", chance.one_of(&WEEKDAYS).to_owned());
                }
            }
            9 => self.end = chance.one_of(&ENDS),
            10 => self.exdates = listed(chance),
            11 => self.rdates = listed(chance),
            12 => self.offsets = chance.one_of(&OFFSETS),
            13 => self.zone = chance.one_of(&ZONES),
            14 => {
                self.gap = chance.one_of(&[Gap::Shift, Gap::Skip]);
                self.fold = chance.one_of(&[Fold::First, Fold::Second, Fold::Both]);
            }
            _ => {
                self.start = chance.one_of(&STARTS);
                self.from = chance.one_of(&FROMS);
                self.limit = chance.one_of(&[1, 10, 100, 100]);
            }
        }
    }

    fn change_list(&mut self, chance: &mut Chance) {
        let (name, least, most, is_signed) = chance.one_of(&LISTS);
        self.parts.remove(name);
        if chance.once_in(3) {
            return;
        }
        let span = usize::try_from(most - least + 1).unwrap_or(1);
        let number = if chance.once_in(4) { span } else { 1 + chance.below(3) };
        let mut numbers: Vec<i64> = (0..number)
            .map(|position| {
                let drawn = if number == span { position } else { chance.below(span) };
                let value = least + i64::try_from(drawn).unwrap_or(0);
                if is_signed && chance.once_in(2) { -value } else { value }
            })
            .collect();
        // The text of a rule has at most 1,000 characters.
        numbers.truncate(100);
        let texts: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        self.parts.insert(name, texts.join(","));
    }

    pub(crate) fn rrule(&self) -> String {
        let parts: String =
            self.parts.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        format!("FREQ={};INTERVAL={}{parts}{}", self.frequency, self.interval, self.end)
    }

    /// Parts of the request without their numbers.
    pub(crate) fn shape(&self) -> String {
        let parts: Vec<_> = self.parts.keys().copied().collect();
        let end = self.end.get(1..4).unwrap_or_default();
        let lists = (self.exdates.number >= 100, self.rdates.number >= 100);
        format!("{} {parts:?} {end} {lists:?}", self.frequency)
    }
}

fn interval(chance: &mut Chance) -> u64 {
    if chance.once_in(2) {
        return chance.one_of(&INTERVALS);
    }
    let digits = u32::try_from(chance.below(5)).unwrap_or(0);
    let most = usize::try_from(10_u64.pow(digits + 1)).unwrap_or(1);
    u64::try_from(chance.below(most)).unwrap_or(0).max(1)
}

fn listed(chance: &mut Chance) -> Listed {
    let kinds = [Entries::Occurrences, Entries::Days, Entries::Times, Entries::Long];
    Listed { entries: chance.one_of(&kinds), number: chance.one_of(&[0, 0, 10, 100, 1_000]) }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rrule = self.rrule();
        let shown: String = rrule.chars().take(120).collect();
        let more = if shown.len() < rrule.len() { "…" } else { "" };
        write!(f, "`{shown}{more}` from {} in {}", self.start, self.zone)?;
        for (name, list) in [("exdates", self.exdates), ("rdates", self.rdates)] {
            if list.number > 0 {
                write!(f, ", {} {name} ({:?})", list.number, list.entries)?;
            }
        }
        write!(f, ", offsets {:?}, {:?}, {:?}", self.offsets, self.gap, self.fold)?;
        write!(f, "; from={}, limit={}", self.from, self.limit)
    }
}
