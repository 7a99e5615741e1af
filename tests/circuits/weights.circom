pragma circom 2.0.0;

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";

// Weights that scores come to: weight = ⌊score·65535 / largest score⌋, as a subnet's validator sets them. The largest score is not 0.
template Weights(n) {
    signal input score[n];
    signal output weight[n];

    component ranges[n];
    component larger[n];
    signal largest[n + 1];
    largest[0] <== 0;
    for (var i = 0; i < n; i++) {
        ranges[i] = Num2Bits(32);
        ranges[i].in <== score[i];
        larger[i] = LessThan(32);
        larger[i].in[0] <== largest[i];
        larger[i].in[1] <== score[i];
        largest[i + 1] <== largest[i] + larger[i].out * (score[i] - largest[i]);
    }
    component none = IsZero();
    none.in <== largest[n];
    none.out === 0;

    signal rest[n];
    component quotients[n];
    component rests[n];
    component below[n];
    for (var i = 0; i < n; i++) {
        weight[i] <-- (score[i] * 65535) \ largest[n];
        rest[i] <-- (score[i] * 65535) % largest[n];
        weight[i] * largest[n] === score[i] * 65535 - rest[i];
        quotients[i] = Num2Bits(16);
        quotients[i].in <== weight[i];
        rests[i] = Num2Bits(32);
        rests[i].in <== rest[i];
        below[i] = LessThan(32);
        below[i].in[0] <== rest[i];
        below[i].in[1] <== largest[n];
        below[i].out === 1;
    }
}

component main = Weights(16);
