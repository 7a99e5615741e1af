;; A circuit of one input and two wires, the constant and the input, in the manner of Circom 2. Tests change it.
(module
  (import "runtime" "exceptionHandler" (func $exception (param i32)))
  (import "runtime" "printErrorMessage" (func $print))
  (memory 1)
  (global $calls (mut i32) (i32.const 0))
  ;; At 0 is what is shared with whoever calls; then the prime, and the wires.
  (data (i32.const 64) "\01\00\00\f0\93\f5\e1\43\91\70\b9\79\48\e8\33\28\5d\58\81\81\b6\45\50\b8\29\a0\31\e1\72\4e\64\30")
  (data (i32.const 128) "\01")
  (func (export "getVersion") (result i32) (i32.const 2))
  (func (export "getFieldNumLen32") (result i32) (i32.const 8))
  (func (export "getRawPrime") (memory.copy (i32.const 0) (i32.const 64) (i32.const 32)))
  (func (export "getInputSize") (result i32) (i32.const 1))
  (func (export "getInputSignalSize") (param i32 i32) (result i32) (i32.const 1))
  (func (export "getWitnessSize") (result i32) (i32.const 2))
  (func (export "getWitness") (param i32)
    (memory.copy (i32.const 0) (i32.add (i32.const 128) (i32.mul (local.get 0) (i32.const 32))) (i32.const 32)))
  ;; Without an end.
  (func (export "getMessageChar") (result i32) (i32.const 65))
  (func $init (export "init") (param i32))
  (func (export "setInputSignal") (param i32 i32 i32) (memory.copy (i32.const 160) (i32.const 0) (i32.const 32)))
  (func (export "readSharedRWMemory") (param i32) (result i32) (i32.load (i32.mul (local.get 0) (i32.const 4))))
  (func (export "writeSharedRWMemory") (param i32 i32) (i32.store (i32.mul (local.get 0) (i32.const 4)) (local.get 1))))
