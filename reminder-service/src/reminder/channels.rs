//! The ways in which a reminder is delivered.

use super::InvalidField;

/// A way to reach a user. Their order is the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The user's mailbox.
    Email,
    /// The user's devices.
    Push,
}

impl Channel {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Push => "push",
        }
    }

    /// The channel that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Email, Self::Push].into_iter().find(|it| it.as_str() == word)
    }
}

/// A set of channels that is not empty, in alphabetical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels(Vec<Channel>);

impl Default for Channels {
    fn default() -> Self {
        Self(vec![Channel::Push])
    }
}

impl Channels {
    /// The set that `channels`, or the predecessor's `notifyType`, asks for; `None` when neither is
    /// given.
    ///
    /// # Errors
    /// When the set is empty, or both are given and `notifyType` is not in the set.
    pub fn asked(
        notify_type: Option<Channel>,
        channels: Option<Vec<Channel>>,
    ) -> Result<Option<Self>, InvalidField> {
        let Some(mut channels) = channels else {
            return Ok(notify_type.map(|channel| Self(vec![channel])));
        };
        if channels.is_empty() {
            return Err(InvalidField::new("channels", "must name at least one"));
        }
        if notify_type.is_some_and(|channel| !channels.contains(&channel)) {
            return Err(InvalidField::new(
                "notifyType",
                "contradicts channels; give one of the two",
            ));
        }
        channels.sort_unstable();
        channels.dedup();
        Ok(Some(Self(channels)))
    }

    /// The channels, in alphabetical order.
    #[must_use]
    pub fn as_slice(&self) -> &[Channel] {
        &self.0
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Channel {
        self.0.first().copied().unwrap_or(Channel::Push)
    }

    /// Refuses a user whom one of the channels cannot reach.
    ///
    /// # Errors
    /// When e-mail is asked for and `address` does not look like an e-mail address.
    pub fn reach(&self, address: &str) -> Result<(), InvalidField> {
        if self.0.contains(&Channel::Email) && !looks_like_an_address(address) {
            let problem =
                "email needs X-Consumer-Username (or the token's email) to be an e-mail address";
            return Err(InvalidField::new("channels", problem));
        }
        Ok(())
    }
}

/// Whether a text has the shape of an e-mail address (RFC 5321 §4.1.2 without quoted local parts
/// and address literals; lengths of §4.5.3.1).
#[must_use]
pub fn looks_like_an_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str, allowed: fn(char) -> bool| {
        !part.is_empty() && part.split('.').all(|it| !it.is_empty() && it.chars().all(allowed))
    };
    let in_local = |it: char| it.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(it);
    let in_domain = |it: char| it.is_alphanumeric() || it == '-';
    text.len() <= 254 && local.len() <= 64 && atom(local, in_local) && atom(domain, in_domain)
}
