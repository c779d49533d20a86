//! Partners that sign in with a certificate (PRODUCT section 4), in both versions of TLS.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::kit::{Appliance, Client, Identity, PARTNER, PASSWORD, Running, Secured, Version, sha256};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority() -> Authority {
    let mut params = params("partners");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate of `name`, from an authority or its own.
fn identity(name: &str, authority: Option<&Authority>) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = match authority {
        Some(authority) => params(name).signed_by(&key, authority).expect("a certificate"),
        None => params(name).self_signed(&key).expect("a certificate"),
    };
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
}

fn pin(identity: &Identity) -> String {
    format!("client_certificate_match=sha256:{}", sha256(&identity.0[0]))
}

fn copy((chain, key): &Identity) -> Identity {
    (chain.clone(), key.clone_key())
}

/// Connects with `who`'s certificate and names the partner; the session and the code of the answer.
async fn user(running: &Running<'_>, version: Version, who: Option<&Identity>) -> (Secured, u16) {
    let mut session = Secured::connect_as(running.ftp(), version, who.map(copy)).await;
    let code = session.client.send(&format!("USER {PARTNER}")).await.code;
    (session, code)
}

async fn pass(session: &mut Secured, password: &str) -> u16 {
    session.client.send(&format!("PASS {password}")).await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_signs_in_as_its_connector_says() {
    let (appliance, own, other) = (Appliance::untouched(), identity("acme", None), identity("acme", None));
    appliance.add(PARTNER, &[&pin(&own), "client_certificate=or_password"]);
    let running = appliance.start().await;
    for version in Version::ALL {
        appliance.say(&["connector", "set", PARTNER, "client_certificate=or_password"]);
        let (mut session, code) = user(&running, version, Some(&own)).await;
        assert_eq!((code, pass(&mut session, "anything").await), (232, 202), "{version:?}");
        assert_eq!(session.put("STOR /Receive/by-certificate.edi", b"yes").await.code, 226, "{version:?}");
        for who in [None, Some(&other)] {
            let (mut session, code) = user(&running, version, who).await;
            assert_eq!((code, pass(&mut session, PASSWORD).await), (331, 230), "{version:?}");
        }

        appliance.say(&["connector", "set", PARTNER, "client_certificate=and_password"]);
        for (who, password, answer) in [
            (Some(&own), PASSWORD, 230),
            (Some(&own), "wrong wrong", 530),
            (Some(&other), PASSWORD, 530),
            (None, PASSWORD, 530),
        ] {
            let (mut session, code) = user(&running, version, who).await;
            assert_eq!((code, pass(&mut session, password).await), (331, answer), "{version:?}");
        }

        appliance.say(&["connector", "set", PARTNER, "client_certificate=only"]);
        assert_eq!(user(&running, version, Some(&own)).await.1, 232, "{version:?}");
        for who in [None, Some(&other)] {
            let (mut session, code) = user(&running, version, who).await;
            assert_eq!((code, pass(&mut session, PASSWORD).await), (331, 530), "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_vouches_for_a_subject() {
    let (appliance, authority) = (Appliance::untouched(), authority());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("partners.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let wanted = "client_certificate_match=ca:partners subject:CN=acme";
    let early = appliance.cli(&["connector", "add", PARTNER, wanted]);
    assert!(String::from_utf8_lossy(&early.stderr).contains("There is no authority partners"), "{early:?}");
    appliance.say(&["certificate", "add-authority", "Partners", "--file", file.to_str().unwrap()]);
    appliance.add(PARTNER, &[wanted, "client_certificate=only"]);
    let running = appliance.start().await;
    let stranger = self::authority();
    for version in Version::ALL {
        let (mut session, code) = user(&running, version, Some(&identity("acme", Some(&authority)))).await;
        assert_eq!(code, 232, "{version:?}");
        assert_eq!(session.put("STOR /Receive/vouched.edi", b"yes").await.code, 226, "{version:?}");
        for wrong in [identity("globex", Some(&authority)), identity("acme", Some(&stranger)), identity("acme", None)] {
            let (mut session, code) = user(&running, version, Some(&wrong)).await;
            assert_eq!((code, pass(&mut session, PASSWORD).await), (331, 530), "{version:?}");
        }
    }
    let used = appliance.cli(&["certificate", "remove-authority", "partners"]);
    assert!(String::from_utf8_lossy(&used.stderr).contains(&format!("{PARTNER} signs in with")), "{used:?}");
    // Disabled is disabled, and a certificate opens nothing from an address that is not allowed.
    let own = identity("acme", Some(&authority));
    appliance.say(&["connector", "set", PARTNER, "allowed_addresses=192.0.2.1"]);
    assert_eq!(user(&running, Version::Tls13, Some(&own)).await.1, 331);
    appliance.say(&["connector", "set", PARTNER, "allowed_addresses=", "enabled=off"]);
    assert_eq!(user(&running, Version::Tls13, Some(&own)).await.1, 530);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_a_certificate_that_no_partner_needs_and_clear_text_has_none() {
    let (appliance, own) = (Appliance::new(), identity("acme", None));
    let running = appliance.start().await;
    let (mut session, code) = user(&running, Version::Tls13, Some(&own)).await;
    assert_eq!((code, pass(&mut session, PASSWORD).await), (331, 230));
    appliance.say(&["connector", "set", PARTNER, &pin(&own), "client_certificate=and_password"]);
    let mut clear = Client::connect(running.ftp()).await;
    clear.expect(&format!("USER {PARTNER}"), 331).await;
    clear.expect(&format!("PASS {PASSWORD}"), 530).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_must_not_be_taken_fails_no_handshake_and_is_refused_at_the_sign_in() {
    let (appliance, other) = (Appliance::new(), "other");
    let mut strange = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
    strange.set_criticality(true);
    let mut params = params("acme");
    params.custom_extensions.push(strange);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let own = (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"));
    appliance.add(other, &[&pin(&own), "client_certificate=and_password"]);
    let running = appliance.start().await;
    for version in Version::ALL {
        let (mut session, code) = user(&running, version, Some(&own)).await;
        assert_eq!((code, pass(&mut session, PASSWORD).await), (331, 230), "{version:?}: it needs none");
        let mut session = Secured::connect_as(running.ftp(), version, Some(copy(&own))).await;
        assert_eq!(session.client.send(&format!("USER {other}")).await.code, 331, "{version:?}");
        assert_eq!(pass(&mut session, PASSWORD).await, 530, "{version:?}");
    }
    // Equal ones are one row, which tells of the first.
    let told = async |running: &Running<'_>| running.refusals().await.into_iter().next();
    let refusal = running.until("the refusal is recorded", told).await;
    assert_eq!(refusal.rule.name(), "client_certificate");
    assert!(refusal.detail.contains("1.2.3.4.5"), "{refusal:?}");
}
