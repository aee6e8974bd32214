//! Conversions between the recurrence of a reminder and that of the contract.

use super::{Fold, Gap, Recurrence};

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
