//! Conversions between the types of a reminder and those of the contract.

use super::{Channel, Fold, Gap, Priority, Recurrence};

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
        Self { rrule: recurrence.rrule, exdates: recurrence.exdates, gap, fold }
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
        Self { rrule: recurrence.rrule, exdates: recurrence.exdates, gap, fold }
    }
}

impl From<Channel> for contract::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Email => Self::Email,
            Channel::Push => Self::Push,
        }
    }
}

impl From<contract::Channel> for Channel {
    fn from(channel: contract::Channel) -> Self {
        match channel {
            contract::Channel::Email => Self::Email,
            contract::Channel::Push => Self::Push,
        }
    }
}

impl From<Priority> for contract::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

impl From<contract::Priority> for Priority {
    fn from(priority: contract::Priority) -> Self {
        match priority {
            contract::Priority::Normal => Self::Normal,
            contract::Priority::High => Self::High,
        }
    }
}
