//! The command over HTTPS: a TLS server in front of a real anvil, and certificates that are trusted or not.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::chain::{Anvil, KEYS};
use crate::scene::{refusal, succeeded};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use zkslice_tests::{Ran, zkslice};

/// A certificate authority of the test's own.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Makes one and writes its certificate.
    pub(crate) fn new(name: &str, path: &Path) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(path, parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(parameters, key))
    }

    /// How a server speaks TLS with a certificate of this authority for `localhost`.
    pub(crate) fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Listens on a port of its own and hands what comes over TLS to a port without; returns the port.
pub(crate) fn tls_proxy(acceptor: TlsAcceptor, target: u16) -> u16 {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate ends the handshake.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    told.recv().unwrap()
}

struct World {
    folder: TempDir,
    anvil: Anvil,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("ours", &folder.path().join("ours.pem"));
        Authority::new("theirs", &folder.path().join("theirs.pem"));
        let key = folder.path().join("deployer.key");
        std::fs::write(&key, KEYS[0]).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { folder, anvil: Anvil::start(31337), authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn proxy(&self, change: impl FnOnce(&mut CertificateParams)) -> u16 {
        tls_proxy(self.authority.server(change), self.anvil.port)
    }

    /// Deploys on a machine that trusts the authorities of one file.
    fn deploy(&self, url: &str, authorities: &str) -> Ran {
        let mut command = Command::new(zkslice());
        command.env("SSL_CERT_FILE", self.path(authorities)).env_remove("SSL_CERT_DIR");
        command.args(["deploy", "--json", "--rpc-url", url, "--private-key-file"]).arg(self.path("deployer.key"));
        command.arg("--deployments").arg(self.path("deployments")).output().unwrap().into()
    }
}

#[test]
fn a_trusted_certificate_is_enough() {
    let world = World::new();
    let url = format!("https://localhost:{}", world.proxy(|_| ()));
    let deployed = succeeded(world.deploy(&url, "ours.pem"));
    assert_eq!((&deployed["chain_id"], &deployed["transactions"]), (&31337.into(), &4.into()));
    assert_eq!(succeeded(world.deploy(&url, "ours.pem"))["transactions"], 0);
    // TLS in front is the only difference.
    assert_eq!(succeeded(world.deploy(&world.anvil.url, "ours.pem"))["oracle"], deployed["oracle"]);
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_and_no_token_is_shown() {
    let world = World::new();
    let refused = |port: u16, host: &str, authorities: &str, words: &[&str]| {
        let ran = world.deploy(&format!("https://name:hush@{host}:{port}/v2/secret-token?key=hush"), authorities);
        assert!(!ran.stderr.contains("hush") && !ran.stderr.contains("secret"), "{}", ran.stderr);
        assert_eq!(ran.stderr.trim().lines().count(), 1, "one error, and no log beside it: {}", ran.stderr);
        let error = refusal(ran, 1, words);
        let shown = format!("[ZKS-CHAIN-007] cannot trust the TLS certificate of https://{host}:{port}: ");
        assert!(error.starts_with(&shown) && error.contains("SSL_CERT_FILE"), "{error}");
        assert!(!world.path("deployments").exists(), "nothing was sent");
    };
    let honest = world.proxy(|_| ());
    refused(honest, "localhost", "theirs.pem", &["does not know who issued it"]);
    refused(honest, "127.0.0.1", "ours.pem", &["not valid for", "127.0.0.1"]);
    let expired = world.proxy(|parameters| {
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2021, 1, 1);
    });
    refused(expired, "localhost", "ours.pem", &["expired"]);
}

#[test]
fn a_machine_without_authorities_speaks_http_and_says_what_https_lacks() {
    let world = World::new();
    let url = format!("https://localhost:{}/secret-token", world.proxy(|_| ()));
    let error = refusal(world.deploy(&url, "none.pem"), 1, &["ZKS-CHAIN-007", "No CA certificates", "ca-certificates"]);
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(succeeded(world.deploy(&world.anvil.url, "none.pem"))["transactions"], 4);
}

#[test]
fn https_to_a_port_without_tls_and_back_is_no_answer() {
    let world = World::new();
    refusal(world.deploy(&format!("https://localhost:{}", world.anvil.port), "ours.pem"), 1, &["ZKS-CHAIN-002", "https://localhost"]);
    let port = world.proxy(|_| ());
    refusal(world.deploy(&format!("http://localhost:{port}"), "ours.pem"), 1, &["ZKS-CHAIN-002", "http://localhost"]);
}

#[test]
fn a_redirection_is_not_followed() {
    let world = World::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, target) = (listener.local_addr().unwrap().port(), world.anvil.url.clone());
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]).unwrap();
        write!(stream, "HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    });
    refusal(world.deploy(&format!("http://127.0.0.1:{port}"), "ours.pem"), 1, &["ZKS-CHAIN-002", "307"]);
}
