//! `zkslice weights`: a board for validators' weights, who is on it, and what it says.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, U256};
use serde_json::json;
use zkslice_chain::board::{Board, Parameters};
use zkslice_chain::{Chain, signer};

use super::{amount, runtime};
use crate::error::CliError;
use crate::output::Output;

/// Make and look at a WeightBoard, onto which validators bring their miners' weights. Bittensor's chains need none.
///
/// A validator sets weights by itself, where `[weights]` in its configuration says where to.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice weights deploy --netuid 1 --rpc-url http://127.0.0.1:8545 --private-key-file owner.key\n  zkslice weights register 0xBoard 0xValidator --permit --rpc-url … --private-key-file owner.key\n  zkslice weights show 0xBoard --rpc-url http://127.0.0.1:8545"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Deploy(DeployArgs),
    Register(RegisterArgs),
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct Node {
    /// RPC address of a node.
    #[arg(long)]
    rpc_url: String,
    /// Refuse any other chain.
    #[arg(long)]
    chain_id: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Sender {
    #[command(flatten)]
    node: Node,
    /// File with the private key that signs, mode 0600 or 0400.
    #[arg(long)]
    private_key_file: PathBuf,
    /// Most that a unit of gas may cost: wei, or an amount such as `50 gwei`.
    #[arg(long, value_parser = amount)]
    max_fee_per_gas: Option<U256>,
}

/// Deploy a WeightBoard. Its rules never change; deploying again makes another one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice weights deploy --netuid 1 --rpc-url http://127.0.0.1:8545 --private-key-file owner.key\n  zkslice weights deploy --netuid 1 --tempo 99 --no-commits --rpc-url … --private-key-file owner.key"
)]
struct DeployArgs {
    #[command(flatten)]
    sender: Sender,
    /// Number of the subnet, which validators and calls name.
    #[arg(long)]
    netuid: u16,
    /// Who gives uids and permits; the signer without it.
    #[arg(long)]
    owner: Option<Address>,
    /// Blocks of an epoch, less one.
    #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u16).range(1..))]
    tempo: u16,
    /// Epochs from a commit to its reveal.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    reveal_period: u64,
    /// Blocks between two commits of a validator; an epoch without it, so that nobody can choose among several.
    #[arg(long)]
    rate_limit: Option<u64>,
    /// Least number of weights.
    #[arg(long, default_value_t = 1)]
    min_weights: u16,
    /// Largest share of one weight, of 65535.
    #[arg(long, default_value_t = u16::MAX, value_parser = clap::value_parser!(u16).range(1..))]
    max_weight: u16,
    /// Least version key of weights.
    #[arg(long, default_value_t = 0)]
    version_key: u64,
    /// Let weights be set at once, for all to read and to copy.
    #[arg(long)]
    no_commits: bool,
}

/// Give addresses uids on a board, and let them set weights. What is so already stays, and costs nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice weights register 0xBoard 0xMiner 0xOther --rpc-url http://127.0.0.1:8545 --private-key-file owner.key\n  zkslice weights register 0xBoard 0xValidator --permit --rpc-url … --private-key-file owner.key"
)]
struct RegisterArgs {
    /// The board: `zkslice weights deploy` prints it.
    board: Address,
    /// Who gets a uid.
    #[arg(required = true)]
    addresses: Vec<Address>,
    /// Let them set weights: they are validators.
    #[arg(long)]
    permit: bool,
    #[command(flatten)]
    sender: Sender,
}

/// Show who is on a board, and the weights that each has given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice weights show 0xBoard --rpc-url http://127.0.0.1:8545")]
struct ShowArgs {
    /// The board.
    board: Address,
    #[command(flatten)]
    node: Node,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let (value, lines) = match args.command {
        Command::Deploy(args) => runtime()?.block_on(deploy(args)),
        Command::Register(args) => runtime()?.block_on(register(args)),
        Command::Show(args) => runtime()?.block_on(show(args)),
    }?;
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}

type Said = Result<(serde_json::Value, Vec<String>), CliError>;

async fn deploy(args: DeployArgs) -> Said {
    let signer = signer::load(&args.sender.private_key_file)?;
    let owner = args.owner.unwrap_or(signer.address());
    let parameters = Parameters {
        netuid: args.netuid,
        tempo: args.tempo,
        minWeights: args.min_weights,
        maxWeight: args.max_weight,
        commitReveal: !args.no_commits,
        revealPeriod: args.reveal_period,
        rateLimit: args.rate_limit.unwrap_or(u64::from(args.tempo) + 1),
        versionKey: args.version_key,
    };
    let chain = Chain::connect(&args.sender.node.rpc_url, args.sender.node.chain_id).await?;
    let chain_id = chain.id();
    let board = Board::deploy(chain, &signer, owner, parameters, most(args.sender.max_fee_per_gas)).await?.address();
    let lines = vec![
        format!("board {board} of subnet {} on chain {chain_id}, owned by {owner}", args.netuid),
        format!("  a validator brings its weights there by [weights] in its configuration: netuid = {}, board = \"{board}\"", args.netuid),
    ];
    Ok((json!({ "board": board, "netuid": args.netuid, "chain_id": chain_id, "owner": owner }), lines))
}

async fn register(args: RegisterArgs) -> Said {
    let signer = signer::load(&args.sender.private_key_file)?;
    let chain = Chain::connect(&args.sender.node.rpc_url, args.sender.node.chain_id).await?;
    let board = Board::open(chain, args.board).await?;
    let (mut lines, mut registered) = (Vec::new(), Vec::new());
    for address in args.addresses {
        let (uid, transactions) = board.register(&signer, address, args.permit, most(args.sender.max_fee_per_gas)).await?;
        lines.push(format!("{address}: uid {uid}{}", if transactions == 0 { ", as before" } else { "" }));
        registered.push(json!({ "address": address, "uid": uid, "transactions": transactions }));
    }
    Ok((json!({ "board": args.board, "registered": registered }), lines))
}

async fn show(args: ShowArgs) -> Said {
    let chain = Chain::connect(&args.node.rpc_url, args.node.chain_id).await?;
    let board = Board::open(chain, args.board).await?;
    let neurons = board.neurons().await?;
    let mut lines = vec![format!("subnet {}: {} uids", board.netuid(), neurons.len())];
    let mut values = Vec::new();
    for neuron in neurons {
        let weights = neuron.weights.iter().map(|(uid, weight)| format!("{uid}:{weight}")).collect::<Vec<_>>().join(" ");
        let permit = if neuron.permit { ", validator" } else { "" };
        let of = if weights.is_empty() { String::new() } else { format!("; weights {weights}") };
        lines.push(format!("  {} {}{permit}{of}", neuron.uid, neuron.address));
        values.push(json!({ "uid": neuron.uid, "address": neuron.address, "permit": neuron.permit, "weights": neuron.weights }));
    }
    Ok((json!({ "board": args.board, "netuid": board.netuid(), "neurons": values }), lines))
}

fn most(fee: Option<U256>) -> Option<u128> {
    fee.map(|wei| wei.saturating_to())
}
