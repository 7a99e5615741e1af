// Makes the files of this folder with gnark, and verifies such files with it: README.md says how.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/consensys/gnark-crypto/ecc"
	"github.com/consensys/gnark/backend/groth16"
	"github.com/consensys/gnark/backend/groth16/bn254/mpcsetup"
	"github.com/consensys/gnark/backend/witness"
	"github.com/consensys/gnark/constraint"
	cs "github.com/consensys/gnark/constraint/bn254"
	"github.com/consensys/gnark/frontend"
	"github.com/consensys/gnark/frontend/cs/r1cs"
	"github.com/consensys/gnark/logger"
)

// Two secret factors with their product, their sum and a polynomial of the first.
type circuit struct {
	A, B       frontend.Variable
	Product    frontend.Variable `gnark:",public"`
	Sum        frontend.Variable `gnark:",public"`
	Polynomial frontend.Variable `gnark:",public"`
}

func (c *circuit) Define(api frontend.API) error {
	api.AssertIsEqual(api.Mul(c.A, c.B), c.Product)
	api.AssertIsEqual(api.Add(c.A, c.B), c.Sum)
	api.AssertIsEqual(api.Add(api.Mul(c.A, c.A, c.A), c.A, 5), c.Polynomial)
	return nil
}

// The same with a commitment to a secret and a public wire.
type committed struct{ circuit }

func (c *committed) Define(api frontend.API) error {
	commitment, err := api.(frontend.Committer).Commit(c.A, c.Sum)
	if err != nil {
		return err
	}
	api.AssertIsDifferent(commitment, 0)
	return c.circuit.Define(api)
}

// The same with a public input that no constraint has.
type unused struct {
	circuit
	Unused frontend.Variable `gnark:",public"`
}

var values = circuit{A: 3, B: 1 << 40, Product: 3 << 40, Sum: 1<<40 + 3, Polynomial: 35}

func main() {
	logger.Disable()
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "make":
		err = makeAll(args[1])
	case len(args) == 4 && args[0] == "verify":
		err = verify(args[1], args[2], args[3])
	default:
		err = errors.New("usage: make FOLDER, or verify KEY PROOF PUBLIC")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func makeAll(folder string) error {
	for _, files := range []struct {
		name          string
		shape, values frontend.Circuit
		keys          keys
	}{
		{"setup", &circuit{}, &values, setup},
		{"ceremony", &circuit{}, &values, ceremony},
		{"committed", &committed{}, &committed{values}, ceremony},
		{"unused", &unused{}, &unused{values, 7}, ceremony},
	} {
		if err := makeOne(filepath.Join(folder, files.name), files.shape, files.values, files.keys); err != nil {
			return err
		}
	}
	return nil
}

type keys = func(constraint.ConstraintSystem) (groth16.ProvingKey, groth16.VerifyingKey, error)

// A key of one party, whose γ is random.
var setup keys = groth16.Setup

// A key of a ceremony with one contribution to each phase. Its γ is the generator.
func ceremony(system constraint.ConstraintSystem) (groth16.ProvingKey, groth16.VerifyingKey, error) {
	r1cs := system.(*cs.R1CS)
	size := ecc.NextPowerOfTwo(uint64(r1cs.GetNbConstraints()))
	phase1 := new(mpcsetup.Phase1)
	phase1.Initialize(size)
	phase1.Contribute()
	powers, err := mpcsetup.VerifyPhase1(size, []byte("beacon"), phase1)
	if err != nil {
		return nil, nil, err
	}
	phase2 := new(mpcsetup.Phase2)
	phase2.Initialize(r1cs, &powers)
	phase2.Contribute()
	return mpcsetup.VerifyPhase2(r1cs, &powers, []byte("beacon"), phase2)
}

// Writes a key, a proof and public inputs to files whose names start with the path.
func makeOne(path string, shape, values frontend.Circuit, keys keys) error {
	system, err := frontend.Compile(ecc.BN254.ScalarField(), r1cs.NewBuilder, shape, frontend.IgnoreUnconstrainedInputs())
	if err != nil {
		return err
	}
	pk, vk, err := keys(system)
	if err != nil {
		return err
	}
	full, err := frontend.NewWitness(values, ecc.BN254.ScalarField())
	if err != nil {
		return err
	}
	proof, err := groth16.Prove(system, pk, full)
	if err != nil {
		return err
	}
	public, err := full.Public()
	if err != nil {
		return err
	}
	if err := groth16.Verify(proof, vk, public); err != nil {
		return err
	}
	files := map[string]func(io.Writer) (int64, error){
		".vk":        vk.WriteTo,
		".raw.vk":    vk.WriteRawTo,
		".proof":     proof.WriteTo,
		".raw.proof": proof.WriteRawTo,
		".public":    public.WriteTo,
	}
	for suffix, write := range files {
		var content bytes.Buffer
		if _, err := write(&content); err != nil {
			return err
		}
		if err := os.WriteFile(path+suffix, content.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Reads three files to their last byte and verifies the proof.
func verify(key, proof, public string) error {
	vk, p := groth16.NewVerifyingKey(ecc.BN254), groth16.NewProof(ecc.BN254)
	w, err := witness.New(ecc.BN254.ScalarField())
	if err != nil {
		return err
	}
	for path, object := range map[string]io.ReaderFrom{key: vk, proof: p, public: w} {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n, err := object.ReadFrom(bytes.NewReader(content))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if int(n) != len(content) {
			return fmt.Errorf("%s: %d of %d bytes were read", path, n, len(content))
		}
	}
	if err := groth16.Verify(p, vk, w); err != nil {
		return err
	}
	fmt.Println("gnark accepts the proof")
	return nil
}
