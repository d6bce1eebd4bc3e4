//! Addresses: their hosts, and how they are written and shown.

use std::net::IpAddr;

use ureq::http::Uri;

/// The part of a URL behind the host: what is no letter, digit or `-._~/` as `%XX`.
pub(crate) fn encode_path(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    path.bytes().map(encode).collect()
}

/// Whether a host is this machine, by its name or address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// The host of an address, for a message.
pub(crate) fn host(uri: &Uri) -> String {
    uri.host().unwrap_or("the host").to_owned()
}

/// An address without what must not be shown: a name and password before the host, and what follows a `?`, which may be a
/// signature.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("//") else { return hidden_before_at(url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}//{}{path}", hidden_before_at(authority))
}

fn hidden_before_at(authority: &str) -> String {
    authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("…@{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode_path("a/b c+%ä.pth"), "a/b%20c%2B%25%C3%A4.pth");
    }
}
