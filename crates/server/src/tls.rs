//! Certificates from files, exchanged while connections go on.

use nilometer_model::{Error, Result};
use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Clients must then have a certificate that one of these signed. Read once, at the start.
    pub client_ca: Option<PathBuf>,
}

/// The key of a listener, as of the last time its files were read.
#[derive(Debug)]
pub struct TlsKeys {
    files: TlsFiles,
    current: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    pem: [Vec<u8>; 2],
}

impl TlsKeys {
    pub fn load(files: TlsFiles) -> Result<Arc<TlsKeys>> {
        let loaded = Loaded::from(&files)?;
        Ok(Arc::new(TlsKeys { files, current: RwLock::new(loaded) }))
    }

    /// Reads the files again where they changed. New connections get the new certificate; if it is not in
    /// order, the old one stays. True if it changed.
    pub fn reload(&self) -> Result<bool> {
        let pem = read_both(&self.files)?;
        if self.current.read().pem == pem {
            return Ok(false);
        }
        let loaded = Loaded::parse(&self.files, pem)?;
        *self.current.write() = loaded;
        tracing::info!(cert = %self.files.cert.display(), "a new certificate is in use");
        Ok(true)
    }

    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::invalid(format!("TLS: {e}")))?;
        let builder = match &self.files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider())
                        .build()
                        .map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for TlsKeys {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().key.clone())
    }
}

impl Loaded {
    fn from(files: &TlsFiles) -> Result<Loaded> {
        Loaded::parse(files, read_both(files)?)
    }

    fn parse(files: &TlsFiles, pem: [Vec<u8>; 2]) -> Result<Loaded> {
        let wrong = |path: &Path, why: String| Error::invalid(format!("{}: {why}", path.display()));
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem[0])
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| wrong(&files.cert, format!("this is no certificate in PEM: {e}")))?;
        if chain.is_empty() {
            return Err(wrong(&files.cert, "there is no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&pem[1])
            .map_err(|e| wrong(&files.key, format!("this is no private key in PEM: {e}")))?;
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|e| wrong(&files.key, format!("key and certificate do not fit: {e}")))?;
        Ok(Loaded { key: Arc::new(key), pem })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read_both(files: &TlsFiles) -> Result<[Vec<u8>; 2]> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e));
    Ok([read(&files.cert)?, read(&files.key)?])
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let wrong = |why: String| Error::invalid(format!("{}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(format!("this is no certificate in PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}
