//! A chain behind an HTTP or HTTPS RPC address.
//!
//! A server's certificate is checked as the system does it; on Linux, against the system's certificate authorities or those of
//! the file named in `SSL_CERT_FILE`. The cryptography is that of the process's rustls provider, or ring where none is installed:
//! a library installs none.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::BlockHeader;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::Ethereum;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::transports::http::Http;
use alloy::transports::{RpcError, TransportError, TransportErrorKind};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::ChainError;
use crate::constants::{FINAL_DEPTH, RPC_TIMEOUT};

/// A chain, reached over HTTP or HTTPS, whose id was checked.
///
/// A call is made once: who can wait and try again decides that for itself, see [`ChainError::is_transient`].
#[derive(Clone)]
pub struct Chain {
    provider: RootProvider<Ethereum>,
    id: u64,
    url: String,
}

impl std::fmt::Debug for Chain {
    // Not derived: the transport would show the whole address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("id", &self.id).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The newest block, as far as fees and deadlines need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number.
    pub number: u64,
    /// Unix time, in seconds.
    pub timestamp: u64,
    /// Base fee per gas, in wei; 0 on a chain that has none.
    pub base_fee: u128,
}

/// A client for an address, the address, and how messages may show it: certificates are checked against the system's authorities, and
/// redirections are not followed.
///
/// # Errors
/// [`ChainError::InvalidUrl`], [`ChainError::Untrusted`].
pub fn http_client(url: &str, timeout: Duration) -> Result<(reqwest::Client, reqwest::Url, String), ChainError> {
    // A path, a query or what precedes an `@` may hold an access token, which messages must not repeat.
    let parsed: reqwest::Url = url.parse().map_err(|e| {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
        let url = if url.contains('@') { "…".to_owned() } else { host.to_owned() };
        ChainError::InvalidUrl { url, reason: format!("it does not parse: {e}") }
    })?;
    let shown = format!(
        "{}://{}{}",
        parsed.scheme(),
        parsed.host_str().unwrap_or_default(),
        parsed.port().map(|port| format!(":{port}")).unwrap_or_default()
    );
    let tls = match parsed.scheme() {
        "http" => tls(false),
        "https" => tls(true),
        other => {
            let reason = format!("its scheme is `{other}`, neither http nor https");
            return Err(ChainError::InvalidUrl { url: shown, reason });
        }
    };
    let tls = tls.map_err(|e| {
        let reason = if let rustls::Error::General(reason) = e { reason } else { e.to_string() };
        ChainError::Untrusted { url: shown.clone(), reason }
    })?;
    let client = reqwest::Client::builder()
        .timeout(timeout)
        // A redirection could take the request, and the token in its address, to plain HTTP.
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .build()
        .map_err(|e| ChainError::InvalidUrl { url: shown.clone(), reason: e.to_string() })?;
    Ok((client, parsed, shown))
}

impl Chain {
    /// Connects, asks for the chain id, and compares it with `expected` where that is given.
    ///
    /// # Errors
    /// [`ChainError::InvalidUrl`], [`ChainError::Unreachable`], [`ChainError::Untrusted`], [`ChainError::WrongChain`].
    pub async fn connect(url: &str, expected: Option<u64>) -> Result<Self, ChainError> {
        let (client, parsed, shown) = http_client(url, RPC_TIMEOUT)?;
        let provider = RootProvider::new(RpcClient::new(Http::with_client(client, parsed), true));
        let mut chain = Self { provider, id: 0, url: shown };
        chain.id = chain.provider.get_chain_id().await.map_err(|e| chain.error("the chain id", &e))?;
        match expected {
            Some(expected) if expected != chain.id => Err(ChainError::WrongChain { url: chain.url, expected, found: chain.id }),
            _ => Ok(chain),
        }
    }

    /// The chain's id.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The RPC address as messages may show it: without path and query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// alloy's provider, for what has no method here.
    pub const fn provider(&self) -> &RootProvider<Ethereum> {
        &self.provider
    }

    /// Newest block.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away, refuses, or has no block.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let what = "the newest block";
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await.map_err(|e| self.error(what, &e))?;
        let block = block.ok_or_else(|| self.nonsense(what, "there is none"))?;
        Ok(Head {
            number: block.header.number(),
            timestamp: block.header.timestamp(),
            base_fee: block.header.base_fee_per_gas().unwrap_or(0).into(),
        })
    }

    /// Number of the newest final block: what the node says, or [`FINAL_DEPTH`] blocks behind the newest where it says nothing.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away, or has no block.
    pub async fn final_block(&self) -> Result<u64, ChainError> {
        let found = self.provider.get_block_by_number(BlockNumberOrTag::Finalized).await;
        match found.map_err(|e| self.error("the newest final block", &e)) {
            Ok(Some(block)) => Ok(block.header.number()),
            // Chains whose blocks are never said to be final have no block of that name, or refuse it.
            Ok(None) | Err(ChainError::Refused { .. }) => Ok(self.head().await?.number.saturating_sub(FINAL_DEPTH)),
            Err(error) => Err(error),
        }
    }

    /// Hash of a block, or `None` where there is no such block.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        let block = self.provider.get_block_by_number(number.into()).await.map_err(|e| self.error("a block", &e))?;
        Ok(block.map(|block| block.header.hash))
    }

    /// Unix time of a block, in seconds.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away, refuses, or has no such block.
    pub async fn timestamp(&self, number: u64) -> Result<u64, ChainError> {
        let what = "a block";
        let block = self.provider.get_block_by_number(number.into()).await.map_err(|e| self.error(what, &e))?;
        block.map(|block| block.header.timestamp()).ok_or_else(|| self.nonsense(what, &format!("there is no block {number}")))
    }

    /// keccak256 of the code at an address (EXTCODEHASH), or `None` where there is no code.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn code_hash(&self, address: Address) -> Result<Option<B256>, ChainError> {
        let code = self.provider.get_code_at(address).await.map_err(|e| self.error("a contract's code", &e))?;
        Ok((!code.is_empty()).then(|| keccak256(&code)))
    }

    /// Balance, in wei.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn balance(&self, account: Address) -> Result<U256, ChainError> {
        self.provider.get_balance(account).await.map_err(|e| self.error("a balance", &e))
    }

    /// Number of an account's transactions mined up to the newest block: its next nonce, if none is pending.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(account).await.map_err(|e| self.error("a nonce", &e))
    }

    /// Number of an account's transactions mined up to and with a block.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn nonce_at(&self, account: Address, block: u64) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(account).block_id(block.into()).await.map_err(|e| self.error("a nonce", &e))
    }

    /// An account's next nonce, those pending counted.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn pending_nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(account).pending().await.map_err(|e| self.error("a nonce", &e))
    }

    /// A transaction's receipt, once it is mined.
    ///
    /// # Errors
    /// [`ChainError`]: the node is away or refuses.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        self.provider.get_transaction_receipt(hash).await.map_err(|e| self.error("a receipt", &e))
    }

    /// Runs a transaction without sending it, on the newest block.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with the revert data; others where the node is away or refuses.
    pub async fn simulate(&self, what: &str, transaction: &TransactionRequest) -> Result<(), ChainError> {
        self.provider.call(transaction.clone()).block(BlockId::latest()).await.map(|_| ()).map_err(|e| self.error(what, &e))
    }

    /// Gas that a transaction would take, on the newest block.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with the revert data; others where the node is away or refuses.
    pub async fn estimate_gas(&self, what: &str, transaction: &TransactionRequest) -> Result<u64, ChainError> {
        self.provider.estimate_gas(transaction.clone()).block(BlockId::latest()).await.map_err(|e| self.error(what, &e))
    }

    /// Our error for one of a contract call's.
    pub fn contract_error(&self, what: &str, error: &alloy::contract::Error) -> ChainError {
        match error {
            alloy::contract::Error::TransportError(error) => self.error(what, error),
            other => self.nonsense(what, &other.to_string()),
        }
    }

    /// Our error for one of the transport's.
    pub fn error(&self, what: &str, error: &TransportError) -> ChainError {
        match error {
            RpcError::ErrorResp(payload) => match payload.as_revert_data() {
                Some(data) => ChainError::Reverted { what: what.to_owned(), data: data.to_vec() },
                None if payload.message.contains("revert") => ChainError::Reverted { what: what.to_owned(), data: Vec::new() },
                None => ChainError::Refused { url: self.url.clone(), what: what.to_owned(), reason: payload.message.to_string() },
            },
            RpcError::Transport(error) => match refused_certificate(error) {
                Some(reason) => ChainError::Untrusted { url: self.url.clone(), reason },
                None => ChainError::Unreachable { url: self.url.clone(), reason: transport_reason(error) },
            },
            other => self.nonsense(what, &other.to_string()),
        }
    }

    pub(crate) fn nonsense(&self, what: &str, reason: &str) -> ChainError {
        ChainError::InvalidAnswer { url: self.url.clone(), what: what.to_owned(), reason: reason.to_owned() }
    }
}

/// How TLS is spoken: by the system's certificate authorities, or those of the file that `SSL_CERT_FILE` names. Over plain HTTP it never is,
/// and a machine without authorities must do.
///
/// # Errors
/// [`rustls::Error`] where this machine has no authorities and they are needed.
pub fn tls(authorities: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    Ok(if authorities {
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier::new(provider)?);
        config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        config.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    })
}

/// Why the server's certificate was refused, where that is what failed.
fn refused_certificate(error: &TransportErrorKind) -> Option<String> {
    let TransportErrorKind::Custom(error) = error else { return None };
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return Some("this machine does not know who issued it (UnknownIssuer)".to_owned());
            }
            Some(rustls::Error::InvalidCertificate(reason)) => return Some(reason.to_string()),
            _ => {}
        }
        next = match error.downcast_ref::<std::io::Error>() {
            // What an I/O error wraps is not its source, which is already the source of that.
            Some(error) => error.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

/// What a transport says at its root ("connection refused"); its own sentence repeats the whole address.
fn transport_reason(error: &TransportErrorKind) -> String {
    let TransportErrorKind::Custom(error) = error else { return error.to_string() };
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "it takes too long to answer".to_owned(),
        _ => {
            let mut root: &dyn std::error::Error = error.as_ref();
            while let Some(source) = root.source() {
                root = source;
            }
            if root.is::<reqwest::Error>() { "the request failed".to_owned() } else { root.to_string() }
        }
    }
}
