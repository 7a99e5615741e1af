//! `zkslice compile`: an ONNX model becomes a package.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;
use zkslice_compiler::{CompileError, ImportError, ImportOptions, InputRange, InputScales, MaxError, Options, Reference, Report, import};
use zkslice_formats::hex0x;
use zkslice_graph::Samples;
use zkslice_graph::cost::{Cost, rows};
use zkslice_inputs::Slot;
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy};

use super::{Reading, at_least_one};
use crate::error::CliError;
use crate::output::{Output, significant};

/// Public words or commitments.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum InputArg {
    /// Inputs are words in calldata.
    Public,
    /// Inputs are salted commitments of their owner.
    Private,
}

/// Which features have scales of their own.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum InputScalesArg {
    /// Where one scale for the whole input would lose some feature.
    Auto,
    /// One per input.
    Input,
    /// One per column of the last axis, or per channel.
    Feature,
}

/// `[name][[feature]=]lo,hi`.
fn input_range(text: &str) -> Result<InputRange, String> {
    let wrong = || format!("'{text}' is no range: give lo,hi for all inputs, name=lo,hi for one, name[3]=lo,hi for one feature of it");
    let (of, range) = text.rsplit_once('=').map_or((None, text), |(of, range)| (Some(of), range));
    let (min, max) = range.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let (input, feature) = match of.and_then(|of| of.strip_suffix(']')).and_then(|of| of.rsplit_once('[')) {
        Some((input, feature)) => (Some(input), Some(feature.parse().map_err(|_| wrong())?)),
        None => (of, None),
    };
    Ok(InputRange { input: input.filter(|name| !name.is_empty()).map(str::to_owned), feature, min: number(min)?, max: number(max)? })
}

/// `name=1,3,224,224`.
fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let wrong = || format!("'{text}' is no shape: give name=1,3,224,224");
    let (name, dims) = text.rsplit_once('=').ok_or_else(wrong)?;
    let dims = dims.split(',').map(|dim| dim.trim().parse().ok().filter(|&dim| dim > 0)).collect::<Option<Vec<usize>>>();
    Ok((name.to_owned(), dims.ok_or_else(wrong)?))
}

/// A number, or a part of a hundred: whether it is one.
fn number_or_percent(text: &str) -> Result<(f64, bool), String> {
    let (number, percent) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
    let number: f64 = number.trim().parse().map_err(|_| format!("'{text}' is no number and no percentage"))?;
    Ok((if percent { number / 100.0 } else { number }, percent))
}

fn max_error(text: &str) -> Result<MaxError, String> {
    number_or_percent(text).map(|(number, percent)| if percent { MaxError::Share(number) } else { MaxError::Absolute(number) })
}

fn share(text: &str) -> Result<f64, String> {
    number_or_percent(text).map(|(share, _)| share)
}

/// Nodes that are shown unless all are asked for.
const SHOWN: usize = 12;
/// Characters of a node's name that are shown.
const NAME: usize = 40;

/// The table of nodes, in their order: the costliest and the one that is off most, or all. Then what no node has: borders and tables.
fn table(report: &Report, costs: &[Cost], all: bool) -> Vec<String> {
    let nodes = &report.nodes;
    let mut shown: Vec<usize> = (0..nodes.len()).collect();
    if !all && nodes.len() > SHOWN {
        shown.sort_by_key(|&index| std::cmp::Reverse(nodes[index].rows));
        shown.truncate(SHOWN);
        shown.extend((0..nodes.len()).max_by(|&a, &b| nodes[a].error.total_cmp(&nodes[b].error).then(b.cmp(&a))));
        shown.sort_unstable();
        shown.dedup();
    }
    let line = |name: &str, range: &str, bits: &str, rows: usize, error: &str| {
        let name: String = name.chars().take(NAME).collect();
        format!("  {name:<NAME$} {range:>12} {bits:>5} {rows:>10} {error:>10}").trim_end().to_owned()
    };
    let mut lines = vec![format!("  {:<NAME$} {:>12} {:>5} {:>10} {:>10}", "node", "range", "bits", "rows", "error")];
    lines.extend(shown.iter().map(|&index| {
        let of = &nodes[index];
        line(&of.node, &significant(of.range), &of.bits.to_string(), of.rows, &format!("{:.3} %", 100.0 * of.error))
    }));
    let hidden = nodes.len() - shown.len();
    if hidden > 0 {
        let others = nodes.iter().enumerate().filter(|(index, _)| !shown.contains(index)).map(|(_, of)| of.rows);
        lines.push(line(&format!("{hidden} others (--nodes)"), "", "", others.sum(), ""));
    }
    let bits = report.table_bits;
    let functions: Vec<String> = report.functions.iter().map(|function| format!("{} {}", function.name, function.entries)).collect();
    let functions = if functions.is_empty() { String::new() } else { format!("; {}", functions.join(", ")) };
    let cut = if costs.len() > 1 { " and between slices" } else { "" };
    lines.push(line(&format!("inputs, outputs{cut}"), "", "", costs.iter().map(|cost| cost.borders).sum(), ""));
    lines.push(line(&format!("tables (2^{bits}{functions})"), "", "", costs.iter().map(|cost| cost.tables).sum(), ""));
    lines.push(line("all", "", "", costs.iter().map(Cost::total).sum(), ""));
    lines.push(format!("  most of the error arises at {}", report.dominant_node));
    lines
}

/// Compile an ONNX model into a package of slices.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice compile model.onnx --samples samples.json -o pkg\n  zkslice compile model.onnx --samples samples.json --slices 3 --input private -o pkg"
)]
pub(crate) struct Args {
    /// The model.
    model: PathBuf,
    /// Calibration samples: JSON {"samples": [{"input_data": […]}, …]}, .npy, .npz, .pb, .csv, an image, or a folder of them, or of folders with input_0.pb and so on.
    #[arg(long)]
    samples: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Cut into exactly so many slices.
    #[arg(long, conflicts_with = "max_constraints", value_parser = at_least_one)]
    slices: Option<usize>,
    /// Cut into the fewest slices that each stay at or below so many constraints.
    #[arg(long, default_value_t = 1 << 20, value_parser = at_least_one)]
    max_constraints: usize,
    /// Slices that a partial bundle must prove at least, the output's among them; without it requests are for whole bundles only.
    #[arg(long, value_delimiter = ',')]
    coverage_policy: Vec<usize>,
    /// How inputs are bound.
    #[arg(long, value_enum, default_value = "public")]
    input: InputArg,
    /// Bits of an input's digit; chosen by accuracy and cost when not given. Integers take what their range needs.
    #[arg(long)]
    input_bits: Option<u32>,
    /// Bits of inner values, 8 to 16, and so the width of the range table; chosen by accuracy and cost when not given.
    #[arg(long)]
    bits: Option<u32>,
    /// How far beyond the samples inputs may go, as a factor about their middle; chosen by the number of samples when not given.
    #[arg(long, value_name = "FACTOR")]
    margin: Option<f64>,
    /// The same for inner values' magnitudes; at least 2, more for few samples or a larger --margin, when not given.
    #[arg(long, value_name = "FACTOR")]
    inner_margin: Option<f64>,
    /// Clamp inner values at this quantile of the samples (0.9 to 1) instead of refusing inputs that go beyond; costs constraints.
    #[arg(long, value_name = "QUANTILE")]
    clamp: Option<f64>,
    /// Range of inputs instead of what the samples show: lo,hi or name=lo,hi or name[feature]=lo,hi; may be repeated.
    #[arg(long, value_name = "RANGE", value_parser = input_range, allow_hyphen_values = true)]
    input_range: Vec<InputRange>,
    /// Which features have scales of their own.
    #[arg(long, value_enum, default_value = "auto")]
    input_scales: InputScalesArg,
    /// Shape of an input whose axes the model leaves open: name=1,3,224,224; may be repeated.
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    shape: Vec<(String, Vec<usize>)>,
    /// Size of open leading axes, whatever their name.
    #[arg(long, value_parser = at_least_one)]
    batch: Option<usize>,
    /// Take the cheapest setting that keeps every output on the samples this near to the float model's, or fail: a number in the output's
    /// unit, or 1% of its largest magnitude.
    #[arg(long, value_name = "ERROR", value_parser = max_error, allow_hyphen_values = true)]
    max_error: Option<MaxError>,
    /// Take the cheapest setting whose largest output is the float model's on this share of the samples, or fail: 0 to 1, or 99%.
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    min_agreement: Option<f64>,
    /// Write the package whatever its error and however often its largest output is another one, but for what is stated.
    #[arg(long)]
    allow_error: bool,
    /// Leave a Softmax at the end out, whose arg max is that of its argument, instead of computing it.
    #[arg(long)]
    drop_final_softmax: bool,
    /// Print what every node costs and how accurate its result is, not only the costliest; JSON output always has all.
    #[arg(long)]
    nodes: bool,
    /// The folder to write. The same package there stays, with its keys.
    #[arg(short, long)]
    output: PathBuf,
    /// Replace another package there though it has keys: proofs for what was deployed with them end with them.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let started = std::time::Instant::now();
    let import =
        ImportOptions { drop_final_softmax: args.drop_final_softmax, shapes: args.shape.iter().cloned().collect(), batch: args.batch };
    let samples = read_samples(&args, &import)?;
    let options = Options {
        import,
        bits: args.bits,
        input_bits: args.input_bits,
        margin: args.margin,
        inner_margin: args.inner_margin,
        clamp: args.clamp,
        input_ranges: args.input_range,
        input_scales: match args.input_scales {
            InputScalesArg::Auto => InputScales::Auto,
            InputScalesArg::Input => InputScales::Input,
            InputScalesArg::Feature => InputScales::Feature,
        },
        max_error: args.max_error,
        min_agreement: args.min_agreement,
        allow_error: args.allow_error,
    };
    let spinner = output.spinner("quantising");
    let file = match args.model.try_exists() {
        Ok(true) => &args.model,
        Ok(false) => return Err(CliError::input(format!("{}: no such file", args.model.display()))),
        Err(error) => return Err(CliError::failed(format!("{}: {error}", args.model.display()))),
    };
    let (graph, report) = zkslice_compiler::compile(file, Some(&samples), &options).map_err(|error| {
        if matches!(error, CompileError::Import(ImportError::Read { .. })) {
            // It names the file already.
            return CliError::from(error);
        }
        let about_samples = matches!(error, CompileError::Samples(_) | CompileError::Execute { .. } | CompileError::Encode { .. });
        CliError::from(error).in_file(if about_samples { &args.samples } else { &args.model })
    })?;
    spinner.set_message("slicing");
    let name = model_name(&args.model);
    let create = if args.force { Package::replace } else { Package::create };
    let package = create(
        &args.output,
        &graph,
        &PackageOptions {
            name,
            inputs: match args.input {
                InputArg::Public => InputMode::Public,
                InputArg::Private => InputMode::Private,
            },
            strategy: args.slices.map_or(Strategy::MaxConstraints(args.max_constraints), Strategy::Slices),
            coverage_policy: args.coverage_policy,
        },
        serde_json::to_value(&report).map_err(|e| CliError::failed(e.to_string()))?,
    )?;
    spinner.finish_and_clear();
    let manifest = package.manifest();
    let constraints: usize = manifest.slices.iter().map(|s| s.constraints).sum();
    let slices: Vec<_> =
        manifest.slices.iter().map(|s| json!({ "constraints": s.constraints, "reads": s.reads, "writes": s.writes })).collect();
    let keys = package.keys().ok().map(|keys| keys.model);
    let costs: Vec<Cost> = package.slices().iter().map(|slice| rows(slice.bound())).collect();
    let value = json!({
        "package": args.output,
        "kept_keys_of": keys,
        "name": manifest.name,
        "constraints": constraints,
        "slices": slices,
        "digest": hex0x(&package.digest()),
        "report": manifest.report,
        "nodes": report.nodes,
        "borders": costs.iter().map(|cost| cost.borders).sum::<usize>(),
        "tables": costs.iter().map(|cost| cost.tables).sum::<usize>(),
        "seconds": started.elapsed().as_secs_f64(),
    });
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    let mut lines = vec![format!(
        "{}: {} slices, {constraints} constraints, table of {} bits, inputs of {}; on {} samples the largest error is {} of outputs up to {}{}{}",
        args.output.display(),
        slices.len(),
        report.table_bits,
        report.input_bits,
        report.samples,
        significant(report.largest_error),
        significant(report.largest_output),
        report.top1_agreement.map_or(String::new(), |share| format!(", top-1 agreement {:.1} %", 100.0 * share)),
        match report.reference {
            Reference::Tract => "; tract computes the same float outputs",
            Reference::Own => "; tract cannot run the model, so nothing but this program has read it",
        },
    )];
    let of = |error: f64, range: f64| format!("{} of outputs up to {}", significant(error), significant(range));
    let which = |steps: bool| if steps { "mean" } else { "largest" };
    for output in report.outputs.iter().filter(|_| report.outputs.len() > 1) {
        lines.push(format!("  output `{}`: {} error {}", output.output, which(output.steps), of(output.largest_error, output.range)));
    }
    for output in report.outputs.iter().filter(|output| output.made_up_share() > output.share()) {
        let name = if report.outputs.len() > 1 { format!("output `{}`, ", output.output) } else { String::new() };
        let error = of(output.made_up_error, output.made_up_range);
        let which = which(output.steps);
        lines.push(format!("  {name}on {} made-up inputs beside the samples: {which} error {error}", report.made_up));
    }
    let sites = [
        (report.sites.inputs, "inputs"),
        (report.sites.relus, "ReLUs"),
        (report.sites.requants, "requantisations"),
        (report.sites.comparisons, "comparisons"),
        (report.sites.functions, "functions"),
        (report.sites.products, "products"),
        (report.sites.lookups, "lookups"),
    ];
    let sites: Vec<String> = sites.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    lines.push(format!("  what costs: {}", sites.join(", ")));
    lines.extend(table(&report, &costs, args.nodes));
    lines.extend(manifest.slices.iter().enumerate().map(|(k, s)| format!("  slice {k}: {} constraints", s.constraints)));
    lines.extend(keys.map(|model| format!("  the same package was there: its keys stay, of model {model}")));
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}

/// What a model is called: as its file, not as what a link to it leads to. `model.onnx` says nothing: the folder then names the model.
fn model_name(path: &Path) -> String {
    let text = |name: &OsStr| name.to_string_lossy().into_owned();
    let stem = path.file_stem().map(text).unwrap_or_default();
    if stem != "model" {
        return stem;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // `.` and `..` have no name until they are followed.
    let named = folder.file_name().map(text).or_else(|| folder.canonicalize().ok()?.file_name().map(text));
    named.unwrap_or(stem)
}

/// Reads the samples. Files that do not say what is which input's take that from the model.
fn read_samples(args: &Args, options: &ImportOptions) -> Result<Samples, CliError> {
    let slots = if zkslice_inputs::needs_slots(&args.samples) {
        let model = import(&args.model, options).map_err(|e| CliError::from(CompileError::from(e)).in_file(&args.model))?;
        model.inputs.iter().map(|id| &model.values[*id]).map(|v| Slot { name: v.name.clone(), shape: v.shape.clone() }).collect()
    } else {
        Vec::new()
    };
    Ok(zkslice_inputs::samples(&args.samples, &slots, args.reading.pixels())?)
}
