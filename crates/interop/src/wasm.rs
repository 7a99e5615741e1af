//! Witnesses from a circuit's own wasm, as Circom 2 writes it. ark-circom runs it, on wasmer.
//!
//! ark-circom alone takes what the circuit refuses: it does nothing when the circuit calls for an exception, counts no inputs, and gives
//! the wires as they stand then. So what the circuit may call is here, and ends the run; exports and inputs are looked at before
//! ark-circom, which panics at what it does not expect, gets them.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ark_bn254::Fr;
use ark_circom::{Wasm, WitnessCalculator};
use ark_ff::PrimeField;
use num_bigint::{BigInt, BigUint};
use wasmer::sys::{Cranelift, CraneliftOptLevel};
use wasmer::{ExternType, Function, FunctionEnv, FunctionEnvMut, Instance, Module, RuntimeError, Store, Type, TypedFunction, imports};

use crate::InteropError;
use crate::binary::OTHER_FIELD;
use crate::inputs::Inputs;

const WHAT: &str = ".wasm file";
const MAGIC: &[u8] = b"\0asm";
/// What is called: name, arguments, results; all of 32 bits.
const EXPORTS: [(&str, usize, usize); 12] = [
    ("getVersion", 0, 1),
    ("getFieldNumLen32", 0, 1),
    ("getRawPrime", 0, 0),
    ("getInputSize", 0, 1),
    ("getInputSignalSize", 2, 1),
    ("getWitnessSize", 0, 1),
    ("getWitness", 1, 0),
    ("getMessageChar", 0, 1),
    ("init", 1, 0),
    ("setInputSignal", 3, 0),
    ("readSharedRWMemory", 1, 1),
    ("writeSharedRWMemory", 2, 0),
];
/// Most wires of a circuit.
const MOST_WIRES: u32 = 1 << 28;
/// Most characters of what a circuit says.
const MOST_SAID: usize = 1 << 10;

/// A circuit's wasm, ready to run.
#[derive(Debug)]
pub struct CircuitWasm {
    store: Store,
    calculator: WitnessCalculator,
    said: FunctionEnv<Said>,
}

/// What the circuit called for while it ran.
#[derive(Debug, Default)]
struct Said {
    message_char: Option<TypedFunction<(), i32>>,
    exception: Option<i32>,
    /// Which assertion did not hold: template and line.
    messages: String,
}

impl CircuitWasm {
    /// Compiles a circuit's wasm.
    ///
    /// # Errors
    /// [`InteropError::Malformed`]: no wasm, none of Circom 2's, another prime.
    pub fn load(bytes: &[u8]) -> Result<Self, InteropError> {
        unwinding(|| Self::compile(bytes))
    }

    /// The values of all wires for these inputs. Whether they satisfy the circuit's rows is for the caller to check.
    ///
    /// # Errors
    /// [`InteropError::Signal`] for an input that the circuit lacks, or has another number of; [`InteropError::Malformed`] for inputs that
    /// are not all of them, or that the circuit refuses.
    pub fn witness(mut self, inputs: &Inputs) -> Result<Vec<Fr>, InteropError> {
        unwinding(|| self.check(inputs).and_then(|()| self.calculate(inputs)))
    }

    fn compile(bytes: &[u8]) -> Result<Self, InteropError> {
        // wasmer would take the text form too.
        if !bytes.starts_with(MAGIC) {
            return Err(malformed("it is no wasm; `circom circuit.circom --wasm` writes circuit_js/circuit.wasm"));
        }
        // Each wasm runs once: optimising it takes longer than it then saves, but for circuits of millions of wires.
        let mut compiler = Cranelift::new();
        compiler.opt_level(CraneliftOptLevel::None);
        let mut store = Store::new(compiler);
        let module = Module::new(&store, bytes).map_err(|error| malformed(format!("it does not compile: {}", first_line(error))))?;
        check_exports(&module)?;
        let said = FunctionEnv::new(&mut store, Said::default());
        let imports = imports! {
            "runtime" => {
                "exceptionHandler" => Function::new_typed_with_env(&mut store, &said, exception),
                "printErrorMessage" => Function::new_typed_with_env(&mut store, &said, message),
                // What the circuit logs are values of its signals, which are secret.
                "writeBufferMessage" => Function::new_typed(&mut store, || ()),
                "showSharedRWMemory" => Function::new_typed(&mut store, || ()),
            }
        };
        let instance =
            Instance::new(&mut store, &module, &imports).map_err(|error| malformed(format!("it cannot be run: {}", first_line(error))))?;
        let message_char = instance.exports.get_typed_function(&store, "getMessageChar");
        said.as_mut(&mut store).message_char = Some(message_char.map_err(|error| malformed(error.to_string()))?);
        let (version, words) = (call(&mut store, &instance, "getVersion", &[])?, call(&mut store, &instance, "getFieldNumLen32", &[])?);
        if version != 2 {
            return Err(malformed(format!("it is of Circom {version}, and those of Circom 2 are run")));
        }
        if words as u32 != Fr::MODULUS_BIT_SIZE.div_ceil(32) {
            return Err(malformed(OTHER_FIELD));
        }
        let calculator = WitnessCalculator::new_from_wasm(&mut store, Wasm::new(instance));
        let calculator = calculator.map_err(|error| malformed(format!("it cannot be run: {}", first_line(error))))?;
        if calculator.prime != BigInt::from(BigUint::from(Fr::MODULUS)) {
            return Err(malformed(OTHER_FIELD));
        }
        Ok(Self { store, calculator, said })
    }

    /// The circuit runs once it has as many values as it needs, so their number must be right for each signal and in all.
    fn check(&mut self, inputs: &Inputs) -> Result<(), InteropError> {
        let instance = &self.calculator.instance.instance;
        for (name, values) in inputs {
            let hash = fnv(name);
            let size = call(&mut self.store, instance, "getInputSignalSize", &[(hash >> 32) as i32, hash as i32])?;
            match usize::try_from(size) {
                Ok(size) if size == values.len() => (),
                // It says so of a name that it has not.
                Err(_) | Ok(0) => {
                    return Err(InteropError::signal(name, "the circuit has no such input; its .sym file names those that it has"));
                }
                Ok(size) => return Err(InteropError::signal(name, format!("it has {size} values, {} were given", values.len()))),
            }
        }
        let needed = call(&mut self.store, instance, "getInputSize", &[])? as u32 as usize;
        let given: usize = inputs.values().map(Vec::len).sum();
        if given != needed {
            let reason = format!("the circuit needs {needed} values, {given} were given: a signal is missing; its .sym file names them");
            return Err(InteropError::malformed("inputs", reason));
        }
        // ark-circom makes room for all of them.
        let wires = call(&mut self.store, instance, "getWitnessSize", &[])? as u32;
        if wires > MOST_WIRES {
            return Err(malformed(format!("it speaks of {wires} wires, and no circuit has more than {MOST_WIRES}")));
        }
        Ok(())
    }

    fn calculate(&mut self, inputs: &Inputs) -> Result<Vec<Fr>, InteropError> {
        let number = |value: &Fr| BigInt::from(BigUint::from(value.into_bigint()));
        let numbers = inputs.iter().map(|(name, values)| (name.clone(), values.iter().map(number).collect()));
        let wires = self.calculator.calculate_witness(&mut self.store, numbers, true).map_err(|error| {
            let said = self.said.as_ref(&self.store);
            let reason = said.exception.map_or_else(|| first_line(error), |code| because(code).to_owned());
            let reason = [reason.as_str(), &said.messages].join(" ");
            InteropError::malformed("inputs", format!("the circuit refuses them: {}", reason.trim_end()))
        })?;
        let element = |wire: BigInt| wire.to_biguint().and_then(|wire| wire.try_into().ok()).and_then(Fr::from_bigint);
        wires.into_iter().map(element).collect::<Option<_>>().ok_or_else(|| malformed("a value that it computes is not below r"))
    }
}

/// What wasmer says, without the places in the code below it.
fn first_line(error: impl Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn malformed(reason: impl Into<String>) -> InteropError {
    InteropError::malformed(WHAT, reason)
}

/// ark-circom and wasmer panic at some of what they do not expect.
fn unwinding<T>(run: impl FnOnce() -> Result<T, InteropError>) -> Result<T, InteropError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(malformed("it does not do what Circom's do")))
}

fn check_exports(module: &Module) -> Result<(), InteropError> {
    let exports: Vec<_> = module.exports().collect();
    for (name, arguments, results) in EXPORTS {
        let fits = |kind: &ExternType| match kind {
            ExternType::Function(of) => {
                let all_32_bits = of.params().iter().chain(of.results()).all(|kind| *kind == Type::I32);
                all_32_bits && (of.params().len(), of.results().len()) == (arguments, results)
            }
            _ => false,
        };
        if !exports.iter().any(|export| export.name() == name && fits(export.ty())) {
            return Err(malformed(format!(
                "it has no function {name}: it is not of Circom 2, or of an early one; compile the circuit again"
            )));
        }
    }
    Ok(())
}

/// Calls one of [`EXPORTS`]; 0 for one without a result.
fn call(store: &mut Store, instance: &Instance, name: &str, arguments: &[i32]) -> Result<i32, InteropError> {
    let failed = |reason: String| malformed(format!("{name} fails: {reason}"));
    let function = instance.exports.get_function(name).map_err(|error| failed(first_line(error)))?;
    let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).into()).collect();
    let results = function.call(store, &arguments).map_err(|error| failed(first_line(error)))?;
    Ok(results.first().and_then(wasmer::Value::i32).unwrap_or_default())
}

fn exception(mut env: FunctionEnvMut<'_, Said>, code: i32) -> Result<(), RuntimeError> {
    env.data_mut().exception = Some(code);
    Err(RuntimeError::new(because(code)))
}

fn because(code: i32) -> &'static str {
    match code {
        1 => "no such signal",
        2 => "too many signals",
        3 => "a signal is there twice",
        4 => "an assertion does not hold",
        5 => "not enough memory",
        6 => "too many values of a signal",
        _ => "it says not why",
    }
}

fn message(mut env: FunctionEnvMut<'_, Said>) -> Result<(), RuntimeError> {
    let (said, mut store) = env.data_and_store_mut();
    // Taken away meanwhile: a module that calls this from there would go on until the stack ends, and the process with it.
    let Some(message_char) = said.message_char.take() else { return Ok(()) };
    if !said.messages.is_empty() && said.messages.len() < MOST_SAID {
        said.messages.push_str("; ");
    }
    while said.messages.len() < MOST_SAID {
        match u8::try_from(message_char.call(&mut store)?) {
            Ok(0) => break,
            Ok(byte) if byte == b' ' || byte.is_ascii_graphic() => said.messages.push(char::from(byte)),
            _ => said.messages.push(' '),
        }
    }
    said.message_char = Some(message_char);
    Ok(())
}

/// FNV-1a: how Circom's wasm knows a signal's name.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
