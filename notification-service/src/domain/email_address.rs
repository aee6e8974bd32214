//! E-mail addresses in the form in which SES takes them.

use contract::Reason;

/// Returns an address with its domain in A-labels (RFC 5890): `ada@bücher.example` becomes
/// `ada@xn--bcher-kva.example`. SES takes ASCII only
/// (<https://docs.aws.amazon.com/ses/latest/APIReference/API_Destination.html>).
///
/// # Errors
/// [`Reason::LocalPartNotAscii`] if the part before the `@` is not ASCII, which no encoding can
/// express without SMTPUTF8; [`Reason::InvalidAddress`] if there is no `@`, or the domain is none.
pub fn in_ascii(address: &str) -> Result<String, Reason> {
    let (local, domain) = address.rsplit_once('@').ok_or(Reason::InvalidAddress)?;
    if !local.is_ascii() {
        return Err(Reason::LocalPartNotAscii);
    }
    if domain.is_ascii() {
        return Ok(address.to_owned());
    }
    let domain = idna::domain_to_ascii(domain).map_err(|_| Reason::InvalidAddress)?;
    if domain.is_empty() {
        return Err(Reason::InvalidAddress);
    }
    Ok(format!("{local}@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_domain_in_a_labels() {
        for (address, written) in [
            ("ada@example.com", "ada@example.com"),
            ("Ada@Example.COM", "Ada@Example.COM"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BU\u{308}CHER.example", "ada@xn--bcher-kva.example"),
            ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
            ("ada@例え。テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ] {
            assert_eq!(in_ascii(address).as_deref(), Ok(written));
        }
    }

    #[test]
    fn refuses_addresses_without_ascii_form() {
        for address in ["zoë@example.com", "jesús.dan@bücher.example", "zoe\u{308}@example.com"]
        {
            assert_eq!(in_ascii(address), Err(Reason::LocalPartNotAscii), "{address}");
        }
        for address in ["nobody", "ada@\u{200b}", "ada@ü\u{fffd}.example"] {
            assert_eq!(in_ascii(address), Err(Reason::InvalidAddress), "{address}");
        }
    }
}
