//! Caller of a request, and the rules of the caller's e-mail address.

use contract::{Channel, Traceparent};

use super::reminder::{Channels, InvalidField};

/// User who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Id of the user.
    pub user_id: String,
    /// E-mail address of the user.
    pub email: String,
    /// `false` if the identity provider says that the address is not verified: then no e-mail is
    /// sent to it.
    pub email_verified: bool,
}

/// Caller and trace of the request that causes a change.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The caller.
    pub caller: Caller,
    /// The trace of the request.
    pub traceparent: Traceparent,
}

/// Reason for which a caller cannot use the channel e-mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableEmail {
    /// The caller has no e-mail address.
    #[error(transparent)]
    NoAddress(#[from] InvalidField),
    /// The address is not verified.
    #[error("channels: email needs a verified address, and the token has email_verified=false")]
    Unverified,
}

impl Caller {
    /// Checks that the caller can be reached on every channel.
    ///
    /// # Errors
    /// If the channels contain e-mail, and the caller has no e-mail address or an unverified one.
    pub fn check_channels(&self, channels: &Channels) -> Result<(), UnusableEmail> {
        channels.check_address(&self.email)?;
        if channels.contains(Channel::Email) && !self.email_verified {
            return Err(UnusableEmail::Unverified);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_email_to_unverified_address() {
        let caller = |email: &str, email_verified| Caller {
            user_id: "u1".to_owned(),
            email: email.to_owned(),
            email_verified,
        };
        let only = |channel| {
            Channels::from_fields(Some(channel), None).expect("a set").expect("not empty")
        };
        let check = |channel, caller: Caller| caller.check_channels(&only(channel));
        assert_eq!(check(Channel::Email, caller("u1@example.com", true)), Ok(()));
        assert_eq!(
            check(Channel::Email, caller("u1@example.com", false)),
            Err(UnusableEmail::Unverified)
        );
        assert!(matches!(
            check(Channel::Email, caller("nobody", true)),
            Err(UnusableEmail::NoAddress(_))
        ));
        assert_eq!(check(Channel::Push, caller("nobody", false)), Ok(()));
    }
}
