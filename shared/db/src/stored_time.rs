//! Stored times that may be out of range, so that reading one never fails the other rows.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueFormat, PgValueRef},
};

use contract::bounds::is_instant;

/// A `timestamptz` as it is stored. PostgreSQL allows `infinity` and years that chrono cannot
/// represent, at which a plain [`DateTime`] panics. This type reads them as the nearest time of the
/// contract and records that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTime {
    nearest: DateTime<Utc>,
    is_exact: bool,
}

impl StoredTime {
    /// Returns the time, or `None` if it is outside of the contract.
    #[must_use]
    pub fn get(self) -> Option<DateTime<Utc>> {
        self.is_exact.then_some(self.nearest)
    }

    /// Returns the time, or the nearest one of the contract.
    #[must_use]
    pub const fn nearest(self) -> DateTime<Utc> {
        self.nearest
    }

    /// Converts microseconds since the beginning of the year 2000.
    fn of_micros(micros: i64) -> Self {
        let at = beginning(2000)
            .checked_add_signed(TimeDelta::microseconds(micros))
            .filter(|at| is_instant(*at));
        let end = if micros < 0 { beginning(0) } else { beginning(10_100) };
        Self { nearest: at.unwrap_or(end), is_exact: at.is_some() }
    }
}

fn beginning(year: i32) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default().and_time(NaiveTime::MIN).and_utc()
}

impl From<DateTime<Utc>> for StoredTime {
    fn from(at: DateTime<Utc>) -> Self {
        Self { nearest: at, is_exact: true }
    }
}

impl Type<Postgres> for StoredTime {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <DateTime<Utc> as Type<Postgres>>::compatible(ty)
    }
}

impl Decode<'_, Postgres> for StoredTime {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                Ok(Self::of_micros(<i64 as Decode<'_, Postgres>>::decode(value)?))
            }
            PgValueFormat::Text => {
                Ok(<DateTime<Utc> as Decode<'_, Postgres>>::decode(value)?.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_of_the_contract_exactly() {
        for text in [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "2000-01-01T00:00:00Z",
            "9999-12-31T00:00:00Z",
        ] {
            let at: DateTime<Utc> = text.parse().expect("a time");
            let micros = (at - beginning(2000)).num_microseconds().expect("a number");
            assert_eq!(StoredTime::of_micros(micros), at.into(), "{text}");
        }
    }

    #[test]
    fn reads_nearest_time_when_out_of_range() {
        // PostgreSQL's 'infinity' and '-infinity', and its first and last years.
        for (micros, nearest) in [
            (i64::MAX, beginning(10_100)),
            (i64::MIN, beginning(0)),
            (-211_813_488_000_000_000, beginning(0)),
            (9_223_371_331_199_999_999, beginning(10_100)),
        ] {
            let time = StoredTime::of_micros(micros);
            assert_eq!((time.get(), time.nearest()), (None, nearest), "{micros}");
        }
    }
}
