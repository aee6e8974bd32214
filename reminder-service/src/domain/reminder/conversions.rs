//! Conversions between parts of a reminder and those of the contract.

use super::{ChangedOccurrence, Fold, Gap, Link, Message, Pairs, Recurrence, Texts, Title};

impl From<ChangedOccurrence> for contract::ChangedOccurrence {
    fn from(changed: ChangedOccurrence) -> Self {
        let ChangedOccurrence { date, texts } = changed;
        Self {
            date,
            title: texts.title.map(Title::into_string),
            message: texts.message.into_string(),
            url: texts.url.map(Link::into_string),
            data: texts.data.into_map(),
        }
    }
}

impl ChangedOccurrence {
    /// An occurrence that was checked before it was stored.
    #[must_use]
    pub fn from_store(stored: contract::ChangedOccurrence) -> Self {
        let texts = Texts {
            title: stored.title.map(Title::from_store),
            message: Message::from_store(stored.message),
            url: stored.url.map(Link::from_store),
            data: Pairs::from_store(stored.data),
        };
        Self { date: stored.date, texts }
    }
}

impl From<Recurrence> for contract::Recurrence {
    fn from(recurrence: Recurrence) -> Self {
        let gap = match recurrence.gap {
            Gap::Shift => contract::GapPolicy::Shift,
            Gap::Skip => contract::GapPolicy::Skip,
        };
        let fold = match recurrence.fold {
            Fold::First => contract::FoldPolicy::First,
            Fold::Second => contract::FoldPolicy::Second,
            Fold::Both => contract::FoldPolicy::Both,
        };
        let (exdates, rdates) = (recurrence.exdates, recurrence.rdates);
        Self { rrule: recurrence.rrule, exdates, rdates, gap, fold }
    }
}

impl From<contract::Recurrence> for Recurrence {
    fn from(recurrence: contract::Recurrence) -> Self {
        let gap = match recurrence.gap {
            contract::GapPolicy::Shift => Gap::Shift,
            contract::GapPolicy::Skip => Gap::Skip,
        };
        let fold = match recurrence.fold {
            contract::FoldPolicy::First => Fold::First,
            contract::FoldPolicy::Second => Fold::Second,
            contract::FoldPolicy::Both => Fold::Both,
        };
        let (exdates, rdates) = (recurrence.exdates, recurrence.rdates);
        Self { rrule: recurrence.rrule, exdates, rdates, gap, fold }
    }
}
