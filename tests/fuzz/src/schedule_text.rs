//! Schedule as an input describes it: a name and a value on each line, such as `rule FREQ=DAILY`.
//! Lines that cannot be read are left out, so that most inputs are schedules.

use chrono::{DateTime, Utc};
use recurrence::{Fold, Gap, Refusal, Rule, Series, Zone};
use reminder_service::domain::reminder::{GivenTime, instant};

/// Longest list of an input.
const MOST: usize = 200;

/// Schedule of an input.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleText {
    pub(crate) start: DateTime<Utc>,
    pub(crate) zone: Zone,
    pub(crate) rrule: String,
    pub(crate) exdates: Vec<String>,
    pub(crate) rdates: Vec<String>,
    pub(crate) gap: Gap,
    pub(crate) fold: Fold,
    /// Minutes before each date.
    pub(crate) offsets: Vec<i32>,
    /// Instant from which on the schedule is read.
    pub(crate) from: DateTime<Utc>,
    /// Position of the occurrence that is edited.
    pub(crate) position: usize,
    /// New time of that occurrence.
    pub(crate) to: Option<GivenTime>,
}

impl ScheduleText {
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut read = Self {
            start: DateTime::UNIX_EPOCH,
            zone: Zone::UTC,
            rrule: "FREQ=DAILY".to_owned(),
            exdates: Vec::new(),
            rdates: Vec::new(),
            gap: Gap::Shift,
            fold: Fold::First,
            offsets: vec![0],
            from: DateTime::UNIX_EPOCH,
            position: 0,
            to: None,
        };
        for line in String::from_utf8_lossy(data).lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            read.line(name, value);
        }
        read
    }

    fn line(&mut self, name: &str, value: &str) {
        match name {
            "start" => self.start = instant("start", value).unwrap_or(self.start),
            "zone" => self.zone = Zone::parse(value).unwrap_or(self.zone),
            "rule" => value.clone_into(&mut self.rrule),
            "exdate" if self.exdates.len() < MOST => self.exdates.push(value.to_owned()),
            "rdate" if self.rdates.len() < MOST => self.rdates.push(value.to_owned()),
            "gap" => self.gap = if value == "skip" { Gap::Skip } else { Gap::Shift },
            "fold" => {
                self.fold = match value {
                    "second" => Fold::Second,
                    "both" => Fold::Both,
                    _ => Fold::First,
                };
            }
            "offsets" => {
                let minutes = value.split(',').filter_map(|minutes| minutes.parse().ok());
                let minutes: Vec<i32> =
                    minutes.filter(|minutes| (0..=40_320).contains(minutes)).take(5).collect();
                if !minutes.is_empty() {
                    self.offsets = minutes;
                    self.offsets.sort_unstable();
                    self.offsets.dedup();
                }
            }
            "from" => self.from = instant("from", value).unwrap_or(self.from),
            "position" => self.position = value.parse().unwrap_or(0),
            "to" => self.to = GivenTime::parse("to", value).ok(),
            _ => {}
        }
    }

    pub(crate) fn rule(&self) -> Rule<'_> {
        Rule {
            rrule: &self.rrule,
            exdates: &self.exdates,
            rdates: &self.rdates,
            gap: self.gap,
            fold: self.fold,
        }
    }

    pub(crate) fn series(&self) -> Result<Series, Refusal> {
        Series::new(self.start, self.zone, self.rule())
    }
}
