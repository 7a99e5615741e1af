//! `zkslice run`: what the integer model answers, without proving it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rayon::prelude::*;
use serde_json::json;
use zkslice_compiler::{FloatGraph, ImportOptions, Imported, Reference, arg_max};
use zkslice_graph::{ExecuteError, Input};
use zkslice_slicer::{Package, TensorKind};

use super::{Reading, limit_threads, slots};
use crate::error::CliError;
use crate::output::{Numbers, Output, significant};

/// Refusals whose reason is told.
const REASONS: usize = 5;
/// Samples whose outputs are shown as text; JSON has all.
const SHOWN: usize = 10;

/// Run the integer model on inputs without proving: its outputs, its error against the model, its agreement with labels, and what it refuses.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice run pkg --inputs heldout.npz\n  zkslice run pkg --inputs heldout.npz --model model.onnx --labels labels.npy --json"
)]
pub(crate) struct Args {
    /// The package; it needs no keys.
    package: PathBuf,
    /// The inputs: JSON, .npy, .npz, .pb, .csv, an image, or a folder of them, or of folders with input_0.pb and so on.
    #[arg(long)]
    inputs: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// The classes that the inputs have: a .npy, .npz or .csv of one number per input. Without it the array `y` of a .npz of inputs, if it has one.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// The model that the package was compiled from: outputs are compared with its own.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Threads to use; all by default.
    #[arg(long)]
    threads: Option<usize>,
}

/// One list per output.
type Outputs = Vec<Vec<f64>>;
/// What the integer model answers, or why it refuses.
type Answer = Result<Outputs, String>;

/// How an output does, over all inputs that are not refused.
#[derive(Clone, Debug, Default)]
struct Score {
    largest_error: f64,
    error_sum: f64,
    values: usize,
    largest_output: f64,
    same_class: usize,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    limit_threads(args.threads)?;
    let started = Instant::now();
    let package = Package::open(&args.package)?;
    if package.foreign().is_some() {
        return Err(CliError::input(format!("{}: {}", args.package.display(), ExecuteError::NoGraph)));
    }
    let inputs = zkslice_inputs::inputs(&args.inputs, &slots(&package), args.reading.pixels())?;
    let mut labels = match &args.labels {
        Some(path) => Some((path, zkslice_inputs::labels(path)?)),
        None => None,
    };
    // What lies beside the inputs need not be their classes.
    let mut unused = None;
    if labels.is_none()
        && let Some(found) = zkslice_inputs::labels_within(&args.inputs, &slots(&package))?
    {
        let classes = package.manifest().tensors.iter().find(|t| t.kind == TensorKind::Output).map_or(0, |t| t.count());
        match found {
            Ok(found) if found.iter().all(|label| *label < classes) => labels = Some((&args.inputs, found)),
            Ok(_) => unused = Some(format!("it has numbers that are no class of {classes}")),
            Err(reason) => unused = Some(reason),
        }
    }
    let names: Vec<&str> = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| t.name.as_str()).collect();
    if let Some((path, labels)) = &labels
        && labels.len() != inputs.len()
    {
        return Err(CliError::input(format!("{}: there are {} labels and {} inputs", path.display(), labels.len(), inputs.len())));
    }
    let model = args.model.as_deref().map(|path| imported(path, &package)).transpose()?;
    let spinner = output.spinner("running");
    let answers: Vec<Answer> = inputs.par_iter().map(|input| answer(&package, input)).collect();
    let expected: Option<Vec<Option<Outputs>>> = model.as_ref().map(|model| {
        let of = |(input, answer): (&Input, &Answer)| answer.is_ok().then(|| model.graph.outputs(&input.0));
        inputs.par_iter().zip(&answers).map(of).collect()
    });
    // The float model's outputs count only where another runtime computes them too, or has no answer.
    let accepted = inputs.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
    let lists: Vec<Outputs> = accepted.map(|(Input(lists), _)| lists.clone()).collect();
    let reference = model.map(|model| model.compare(&lists)).transpose().map_err(|e| CliError::input(e.to_string()))?;
    spinner.finish_and_clear();

    let refusals: Vec<(usize, String)> =
        answers.iter().enumerate().filter_map(|(k, answer)| Some((k, answer.as_ref().err()?.clone()))).collect();
    let done = inputs.len() - refusals.len();
    let share = |part: usize| (done > 0).then(|| part as f64 / done as f64);
    let percent = |part: usize| share(part).map_or("none".to_owned(), |share| format!("{:.2} %", 100.0 * share));
    let mut lines = vec![format!(
        "{}: {} inputs, {} refused, {:.2} s",
        args.inputs.display(),
        inputs.len(),
        refusals.len(),
        started.elapsed().as_secs_f64()
    )];
    lines.extend(refusals.iter().take(REASONS).map(|(sample, reason)| format!("  refused, input {sample}: {reason}")));
    let mut outputs = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(expected) = &expected else {
            outputs.push(json!({ "name": name }));
            continue;
        };
        let score = score(index, &answers, expected);
        let mean = if score.values > 0 { score.error_sum / score.values as f64 } else { 0.0 };
        let classes = answers.iter().flatten().any(|answer| answer[index].len() > 1);
        let agreement = if classes { format!(", same class {}", percent(score.same_class)) } else { String::new() };
        lines.push(format!(
            "  {name}: largest error {}, mean {}, of outputs up to {}{agreement}",
            significant(score.largest_error),
            significant(mean),
            significant(score.largest_output)
        ));
        outputs.push(json!({
            "name": name, "largest_error": score.largest_error, "mean_error": mean, "largest_output": score.largest_output,
            "agreement": if classes { share(score.same_class) } else { None },
        }));
    }
    let mut judged = json!(null);
    if let Some((path, labels)) = &labels {
        let right =
            |classes: &mut dyn Iterator<Item = Option<usize>>| classes.zip(labels).filter(|(class, label)| *class == Some(**label)).count();
        if let Some(classes) = answers.iter().flatten().map(|answer| answer[0].len()).next()
            && let Some(sample) = labels.iter().position(|label| *label >= classes)
        {
            return Err(CliError::input(format!(
                "{}: label {} of input {sample} is no class of output `{}`, which has {classes} values",
                path.display(),
                labels[sample],
                names[0]
            )));
        }
        let class = |answer: Option<&Outputs>| answer.and_then(|answer| arg_max(&answer[0]));
        let ours = right(&mut answers.iter().map(|answer| class(answer.as_ref().ok())));
        let theirs = expected.as_ref().map(|expected| right(&mut expected.iter().map(|answer| class(answer.as_ref()))));
        let beside = theirs.map_or(String::new(), |theirs| format!(", the model's own {}", percent(theirs)));
        lines.push(format!("  agrees with {} of the labels{beside}", percent(ours)));
        judged = json!({ "agreement": share(ours), "model_agreement": theirs.and_then(share) });
    }
    lines.extend(unused.map(|reason| format!("  its array `y` is not used as labels: {reason}")));
    if reference == Some(Reference::Own) {
        lines.push("  the model's outputs are by our reading alone: tract cannot run the model".into());
    }
    let answers: Vec<Option<Vec<Numbers>>> = answers.into_iter().map(|answer| Some(Numbers::of_reals(&package, answer.ok()?))).collect();
    if expected.is_none() {
        let shown = answers.iter().enumerate().filter_map(|(sample, answer)| Some((sample, answer.as_ref()?)));
        for (sample, answer) in shown.take(SHOWN) {
            lines.extend(names.iter().zip(answer).map(|(name, values)| format!("  input {sample}, {name}: {values}")));
        }
        if done > SHOWN {
            lines.push(format!("  and {} more, which --json prints; --model compares them with the model's", done - SHOWN));
        }
    }
    let value = json!({
        "inputs": inputs.len(), "refused": refusals.len(),
        "refusals": refusals.iter().take(REASONS).map(|(sample, reason)| json!({ "input": sample, "reason": reason })).collect::<Vec<_>>(),
        "reference": reference, "outputs": outputs, "labels": judged, "answers": answers,
        "seconds": started.elapsed().as_secs_f64(),
    });
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}

/// The integer model's outputs as real numbers, or why it refuses the input.
fn answer(package: &Package, input: &Input) -> Answer {
    let integers = package.encode(input).map_err(|e| e.to_string())?;
    Ok(package.decode(&package.execute(integers).map_err(|e| e.to_string())?))
}

/// The model to compare with. Where the package leaves a Softmax at the end out, it is left out here too.
fn imported(path: &Path, package: &Package) -> Result<Imported, CliError> {
    super::read(path)?;
    let wrong = |reason: String| CliError::input(format!("{}: {reason}", path.display()));
    let shapes = |wanted: fn(TensorKind) -> bool| -> Vec<(String, Vec<usize>)> {
        package.manifest().tensors.iter().filter(|t| wanted(t.kind)).map(|t| (t.name.clone(), t.shape.clone())).collect()
    };
    // Axes that the model leaves open have the sizes that the package was compiled for. Another model may have other inputs.
    let drop_final_softmax = package.manifest().report["drop_final_softmax"] == true;
    let mut options = ImportOptions { drop_final_softmax, shapes: shapes(TensorKind::is_input).into_iter().collect(), batch: None };
    let model = Imported::read(path, &options).or_else(|_| {
        options.shapes.clear();
        Imported::read(path, &options)
    });
    let model = model.map_err(|e| wrong(e.to_string()))?;
    let FloatGraph { values, inputs, outputs, .. } = &model.graph;
    let theirs: Vec<_> = inputs.iter().map(|id| (values[*id].name.clone(), values[*id].shape.clone())).collect();
    if theirs != shapes(TensorKind::is_input) || outputs.len() != shapes(|kind| kind == TensorKind::Output).len() {
        return Err(wrong(format!("it is not the model of the package: its inputs are {theirs:?}")));
    }
    Ok(model)
}

fn score(output: usize, answers: &[Answer], expected: &[Option<Outputs>]) -> Score {
    let mut score = Score::default();
    for (answer, expected) in answers.iter().zip(expected) {
        let (Ok(answer), Some(expected)) = (answer, expected) else { continue };
        for (x, y) in answer[output].iter().zip(&expected[output]) {
            let error = (x - y).abs();
            score.largest_error = score.largest_error.max(error);
            score.error_sum += error;
            score.values += 1;
            score.largest_output = score.largest_output.max(y.abs());
        }
        score.same_class += usize::from(arg_max(&answer[output]) == arg_max(&expected[output]));
    }
    score
}
