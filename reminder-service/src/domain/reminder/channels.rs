//! Channels on which a reminder is delivered.

use contract::Channel;

use super::InvalidField;

/// A non-empty set of channels in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels(Vec<Channel>);

impl Default for Channels {
    fn default() -> Self {
        Self(vec![Channel::Push])
    }
}

impl Channels {
    /// The set of the fields `channels` and `notifyType` (version 1.0.0); `None` if both are
    /// absent.
    ///
    /// # Errors
    /// If `channels` is empty, or both are given and `notifyType` is not in `channels`.
    pub fn from_fields(
        notify_type: Option<Channel>,
        channels: Option<Vec<Channel>>,
    ) -> Result<Option<Self>, InvalidField> {
        let Some(mut channels) = channels else {
            return Ok(notify_type.map(|channel| Self(vec![channel])));
        };
        if channels.is_empty() {
            return Err(InvalidField::new("channels", "must have at least one entry"));
        }
        if notify_type.is_some_and(|channel| !channels.contains(&channel)) {
            return Err(InvalidField::new(
                "notifyType",
                "must be one of channels if both are given",
            ));
        }
        channels.sort_unstable_by_key(|channel| channel.as_str());
        channels.dedup();
        Ok(Some(Self(channels)))
    }

    /// The channels, in alphabetical order.
    #[must_use]
    pub fn as_slice(&self) -> &[Channel] {
        &self.0
    }

    /// Returns `true` if the channel is in the set.
    #[must_use]
    pub fn contains(&self, channel: Channel) -> bool {
        self.0.contains(&channel)
    }

    /// The first channel.
    #[must_use]
    pub fn first(&self) -> Channel {
        self.0.first().copied().unwrap_or(Channel::Push)
    }

    /// Checks that the user can be reached on every channel.
    ///
    /// # Errors
    /// If the set contains e-mail and `address` is not an e-mail address.
    pub fn check_address(&self, address: &str) -> Result<(), InvalidField> {
        if self.contains(Channel::Email) && !looks_like_an_address(address) {
            let problem =
                "email needs X-Consumer-Username (or the token's email) to be an e-mail address";
            return Err(InvalidField::new("channels", problem));
        }
        Ok(())
    }
}

/// Returns `true` if a text has the form of an e-mail address (RFC 5321 §4.1.2 without quoted local
/// parts and address literals; lengths of §4.5.3.1).
#[must_use]
pub fn looks_like_an_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_dot_atom = |part: &str, allowed: fn(char) -> bool| {
        part.split('.').all(|atom| !atom.is_empty() && atom.chars().all(allowed))
    };
    let in_local =
        |character: char| character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character);
    let in_domain = |character: char| character.is_alphanumeric() || character == '-';
    text.len() <= 254
        && local.len() <= 64
        && is_dot_atom(local, in_local)
        && is_dot_atom(domain, in_domain)
}
