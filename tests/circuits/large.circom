pragma circom 2.1.0;

// A million rows of every kind, for docs/benchmarks.md: a chain of hashes, each of which is taken apart into bits.

include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/bitify.circom";

template Large(n) {
    signal input x;
    signal output y;
    signal h[n + 1];
    component hash[n];
    component bits[n];
    h[0] <== x;
    for (var i = 0; i < n; i++) {
        hash[i] = Poseidon(2);
        hash[i].inputs[0] <== h[i];
        hash[i].inputs[1] <== i;
        h[i + 1] <== hash[i].out;
        bits[i] = Num2Bits(254);
        bits[i].in <== h[i];
    }
    y <== h[n];
}

component main { public [x] } = Large(1350);
