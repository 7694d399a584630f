//! How a store proves who it is, and a caller to it.

use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// TLS to all stores alike. Files are read for each connection, so that new ones need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// A certificate and its key, where stores ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Who signs certificates of stores; without it whom the system trusts.
    pub ca: Option<PathBuf>,
    /// The name in their certificates, where it is not the host of their address.
    pub server_name: Option<String>,
    /// Any certificate will do.
    pub skip_verify: bool,
}

impl ClientTls {
    /// What makes a connection to `host` safe.
    ///
    /// # Errors
    /// Where a file cannot be read or is not what it should be.
    pub(crate) fn connector(&self, host: &str, fs: &dyn Fs) -> Result<(TlsConnector, ServerName<'static>)> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name.clone())
            .map_err(|_| Error::invalid(format!("{name}: no certificate can be for such a name")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots(fs)?)
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key_file)) => {
                let chain = certificates(cert, fs)?;
                let key = PrivateKeyDer::from_pem_slice(&read(key_file, fs)?)
                    .map_err(|e| wrong(key_file, format!("this is no private key in PEM: {e}")))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| wrong(key_file, format!("key and certificate do not fit: {e}")))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok((TlsConnector::from(Arc::new(config)), name))
    }

    fn roots(&self, fs: &dyn Fs) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path, fs)? {
                    roots.add(certificate).map_err(|e| wrong(path, e.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(Error::invalid(
                "this system trusts nobody: say whom by --grpc-client-tls-ca, or install CA certificates",
            ));
        }
        Ok(roots)
    }
}

fn certificates(path: &Path, fs: &dyn Fs) -> Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(&read(path, fs)?)
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| wrong(path, format!("this is no certificate in PEM: {e}")))?;
    if all.is_empty() {
        return Err(wrong(path, "there is no certificate in it"));
    }
    Ok(all)
}

fn read(path: &Path, fs: &dyn Fs) -> Result<Vec<u8>> {
    fs.read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {why}", path.display()))
}

/// Trusts whoever answers. What is sent is still from whom the certificate is of.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
