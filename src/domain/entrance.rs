//! Who may come in, as far as settings and the clock decide. The engine asks at each step of a login, and so do the
//! pages for *What if*.
//! Pure: passwords, certificates and counts are checked elsewhere.

use std::net::IpAddr;

use super::authorise::No;
use super::connector::Connector;
use super::profile::Profile;
use super::refusal::Rule;
use super::value::RequireTls;
use crate::base::clock::Timestamp;

/// What is refused in clear to a client at `remote`, whose name is `connector`'s or unknown.
pub fn tls_required(profile: &Profile, connector: Option<&Connector>, remote: IpAddr) -> RequireTls {
    connector.map_or(profile.require_tls, |connector| connector.tls_required(profile, remote))
}

/// Whether a client may give its name: in clear only if no TLS is required, so that no password follows.
pub fn may_name(profile: &Profile, connector: Option<&Connector>, (remote, secure): (IpAddr, bool)) -> Result<(), No> {
    if secure || tls_required(profile, connector, remote) == RequireTls::None {
        return Ok(());
    }
    Err(No::new(Rule::TlsRequiredLogin, "USER came in clear"))
}

/// Whether the partner may connect from there.
pub fn may_come_from(connector: &Connector, remote: IpAddr) -> Result<(), No> {
    if connector.address_allowed(remote) {
        return Ok(());
    }
    Err(No::new(Rule::AddressNotAllowed, format!("{remote} is not among the allowed addresses")))
}

/// Whether anybody may sign in with the connector now.
pub fn may_sign_in(connector: &Connector, now: Timestamp) -> Result<(), No> {
    connector.valid_at(now).map_err(|why| No::new(why.rule(), why.rule().label()))
}

/// Whether the partner may move data in clear.
pub fn may_move_in_clear(profile: &Profile, connector: Option<&Connector>, remote: IpAddr) -> bool {
    tls_required(profile, connector, remote) != RequireTls::LoginAndData
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connector::{ConnectorId, ConnectorSettings};
    use crate::domain::setting::Texts;

    fn connector(pairs: &[(&str, &str)]) -> Connector {
        let texts: Texts = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = ConnectorSettings::parse(&texts).unwrap();
        Connector { id: ConnectorId::parse("acme").unwrap(), version: 0, settings }
    }

    #[test]
    fn each_step_of_a_login_has_its_own_rule() {
        let (profile, here) = (Profile::default(), IpAddr::from([192, 0, 2, 1]));
        let rule = |result: Result<(), No>| result.err().map(|no| no.rule);
        assert_eq!(rule(may_name(&profile, None, (here, false))), Some(Rule::TlsRequiredLogin));
        assert_eq!(rule(may_name(&profile, None, (here, true))), None);
        let plain = connector(&[("require_tls", "plain_allowed"), ("allowed_addresses", "192.0.2.0/24")]);
        assert_eq!(rule(may_name(&profile, Some(&plain), (here, false))), None);
        assert!(may_move_in_clear(&profile, Some(&plain), here) && !may_move_in_clear(&profile, None, here));
        let elsewhere = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(rule(may_name(&profile, Some(&plain), (elsewhere, false))), Some(Rule::TlsRequiredLogin));
        assert_eq!(rule(may_come_from(&plain, elsewhere)), Some(Rule::AddressNotAllowed));
        assert_eq!(rule(may_come_from(&plain, here)), None);
        let now = Timestamp::from_us(1_774_000_000_000_000);
        assert_eq!(rule(may_sign_in(&connector(&[("enabled", "off")]), now)), Some(Rule::ConnectorDisabled));
        let over = connector(&[("valid_until", "2020-01-01")]);
        assert_eq!(rule(may_sign_in(&over, now)), Some(Rule::ConnectorExpired));
        assert_eq!(rule(may_sign_in(&plain, now)), None);
    }
}
