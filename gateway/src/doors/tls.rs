//! TLS at our own door, for whoever has no proxy to do it: version 1.3 only, and a certificate that may change while we serve.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::TLS13,
    },
};
use tracing::{info, warn};

use crate::config;

/// How often the files are looked at. Whoever replaces them long before the old certificate expires need not tell us.
const ROUND: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    files: Files,
    config: Arc<ServerConfig>,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Nothing, if a proxy in front does it.
    pub fn load(config: &config::Http) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else {
            return Ok(None);
        };
        let (certificate, key) = (certificate.clone(), key.clone());
        let files = Files::read(&certificate, &key)?;
        let current = Mutex::new(Current {
            config: files.understood()?,
            files,
        });
        Ok(Some(Self(Arc::new(Inner {
            certificate,
            key,
            current,
        }))))
    }

    /// With the certificate as it is now.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.config.clone().into()
    }

    /// Read the files again when they change, or when a SIGHUP says so, for ever. What cannot be used is not used.
    pub async fn keep_current(self) {
        let mut hang_up = match signal(SignalKind::hangup()) {
            Ok(hang_up) => Some(hang_up),
            Err(error) => {
                warn!(%error, "SIGHUP is not heard; the certificate is looked at all the same");
                None
            }
        };
        let mut was_well = true;
        loop {
            let asked = async {
                match &mut hang_up {
                    Some(hang_up) => drop(hang_up.recv().await),
                    None => std::future::pending().await,
                }
            };
            let _ = tokio::time::timeout(ROUND, asked).await;
            match self.look() {
                Ok(false) => was_well = true,
                Ok(true) => {
                    was_well = true;
                    info!("The certificate is a new one");
                }
                Err(error) if was_well => {
                    was_well = false;
                    let error = format!("{error:#}");
                    warn!(%error, "The new certificate cannot be used, the old one still is");
                }
                Err(_) => {}
            }
        }
    }

    /// Whether there was something new.
    fn look(&self) -> anyhow::Result<bool> {
        let files = Files::read(&self.0.certificate, &self.0.key)?;
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if files == current.files {
            return Ok(false);
        }
        *current = Current {
            config: files.understood()?,
            files,
        };
        Ok(true)
    }
}

impl Files {
    fn read(certificate: &PathBuf, key: &PathBuf) -> anyhow::Result<Self> {
        let read = |file: &PathBuf, setting: &str| {
            fs::read(file).with_context(|| format!("cannot read {} ({setting})", file.display()))
        };
        Ok(Self {
            certificate: read(certificate, "TLS_CERTIFICATE")?,
            key: read(key, "TLS_KEY")?,
        })
    }

    fn understood(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .context("TLS_CERTIFICATE is not a PEM file of certificates")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("TLS_KEY is not a PEM file with a key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("TLS_CERTIFICATE and TLS_KEY do not belong together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
