pragma circom 2.0.0;

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";

// The larger of two numbers, each of at most `bits` bits.
template Max(bits) {
    signal input a;
    signal input b;
    signal output out;
    component less = LessThan(bits);
    less.in[0] <== a;
    less.in[1] <== b;
    out <== a + less.out * (b - a);
}

// What a series of gains and losses comes to: their sum, the deepest fall from a peak, and whether both keep to limits.
//
// Ticks have 32 bits with a sign, so equity stays within ±2^39 and all that is compared below 2^41.
template Metrics(ticks) {
    signal input tick[ticks];
    signal input least_return;
    signal input most_drawdown;
    signal output total_return;
    signal output drawdown;
    signal output passes;

    component ranges[ticks];
    component peaks[ticks];
    component falls[ticks];
    signal equity[ticks + 1];
    signal peak[ticks + 1];
    signal fall[ticks + 1];
    equity[0] <== 0;
    peak[0] <== 0;
    fall[0] <== 0;
    for (var i = 0; i < ticks; i++) {
        ranges[i] = Num2Bits(32);
        ranges[i].in <== tick[i] + (1 << 31);
        equity[i + 1] <== equity[i] + tick[i];
        // Both moved up, so that neither is negative.
        peaks[i] = Max(41);
        peaks[i].a <== peak[i] + (1 << 40);
        peaks[i].b <== equity[i + 1] + (1 << 40);
        peak[i + 1] <== peaks[i].out - (1 << 40);
        falls[i] = Max(41);
        falls[i].a <== fall[i];
        falls[i].b <== peak[i + 1] - equity[i + 1];
        fall[i + 1] <== falls[i].out;
    }
    total_return <== equity[ticks];
    drawdown <== fall[ticks];

    component least = Num2Bits(41);
    least.in <== least_return + (1 << 40);
    component most = Num2Bits(41);
    most.in <== most_drawdown;
    component enough = LessEqThan(42);
    enough.in[0] <== least_return + (1 << 40);
    enough.in[1] <== total_return + (1 << 40);
    component shallow = LessEqThan(42);
    shallow.in[0] <== drawdown;
    shallow.in[1] <== most_drawdown;
    passes <== enough.out * shallow.out;
}

component main {public [least_return, most_drawdown]} = Metrics(256);
