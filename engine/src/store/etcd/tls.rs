//! TLS towards etcd: the CA and the client certificate, from the files that Calico's own variables name.

use std::env;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::failure::Failure;

/// Whom to trust.
const CA: &str = "ETCD_CA_CERT_FILE";

/// Who we are.
const CERTIFICATE: &str = "ETCD_CERT_FILE";

/// The proof of it.
const KEY: &str = "ETCD_KEY_FILE";

/// The name that the other end must have in its certificate.
pub(super) fn name_of(host: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::Tls(format!("`{host}` cannot be the name in a certificate")))
}

/// Reads the files anew, so that a certificate that was renewed counts from the next connection on.
pub(super) fn connector() -> Result<TlsConnector, Failure> {
    let mut trusted = RootCertStore::empty();
    for certificate in certificates(CA, &file(CA)?)? {
        trusted.add(certificate).map_err(|error| wrong(CA, error))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(trusted);
    let config = if env::var_os(CERTIFICATE).is_some() || env::var_os(KEY).is_some() {
        let chain = certificates(CERTIFICATE, &file(CERTIFICATE)?)?;
        let key = PrivateKeyDer::from_pem_file(file(KEY)?).map_err(|error| wrong(KEY, error))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| wrong(CERTIFICATE, error))?
    } else {
        builder.with_no_client_auth()
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn file(variable: &str) -> Result<String, Failure> {
    env::var(variable).map_err(|_| {
        Failure::Tls(format!(
            "https needs the file of certificates in {variable}\n  help: set {CA}, and {CERTIFICATE} with {KEY} if etcd asks who its clients are"
        ))
    })
}

fn certificates(variable: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(variable, error))
}

/// Never prints what is in the file.
fn wrong(variable: &str, cause: impl std::fmt::Display) -> Failure {
    Failure::Tls(format!("cannot use the file in {variable}: {cause}"))
}
