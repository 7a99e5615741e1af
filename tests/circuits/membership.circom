pragma circom 2.0.0;

include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/mux1.circom";

// Whoever proves knows the secret of a leaf of the tree. The nullifier is one per secret and scope, and shows neither.
template Membership(levels) {
    signal input root;
    signal input scope;
    signal input secret;
    signal input siblings[levels];
    signal input path[levels];
    signal output nullifier;

    component leaf = Poseidon(1);
    leaf.inputs[0] <== secret;

    component sides[levels];
    component hashes[levels];
    signal nodes[levels + 1];
    nodes[0] <== leaf.out;
    for (var i = 0; i < levels; i++) {
        path[i] * (1 - path[i]) === 0;
        sides[i] = MultiMux1(2);
        sides[i].c[0][0] <== nodes[i];
        sides[i].c[0][1] <== siblings[i];
        sides[i].c[1][0] <== siblings[i];
        sides[i].c[1][1] <== nodes[i];
        sides[i].s <== path[i];
        hashes[i] = Poseidon(2);
        hashes[i].inputs[0] <== sides[i].out[0];
        hashes[i].inputs[1] <== sides[i].out[1];
        nodes[i + 1] <== hashes[i].out;
    }
    root === nodes[levels];

    component mark = Poseidon(2);
    mark.inputs[0] <== secret;
    mark.inputs[1] <== scope;
    nullifier <== mark.out;
}

component main {public [root, scope]} = Membership(16);
